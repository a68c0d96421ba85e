//! A worker on real sockets: a static configuration, small servers, a plain client.

mod farewells;
mod fixture;
mod http;
mod bodies;
mod policy;
mod certificates;
mod tcp;
mod telling;
mod tls;
