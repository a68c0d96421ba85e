//! Every limit and every class of attack, by raw sockets against a real proxy.
#![allow(clippy::print_stdout, reason = "tests print what they measured")]

mod answers;
mod bench;
mod bodies;
mod clients;
mod edge;
mod framing;
mod honest;
mod http2;
mod limits;
mod rules;
mod succession;
mod tunnels;
