//! The rows of the table of limits that concern HTTP/1 and connections.

mod heads;
mod life;
mod memory;
mod retries;
mod times;
mod tls;
