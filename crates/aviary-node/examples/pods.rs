//! A node without an API server, for trying the sandbox, pods and network by hand.
//!
//! `pods sandbox H`, `pods pod-init SPEC`, `pods exec H -- CMD…` and `pods in H NAMESPACE POD -- CMD…` are the entry
//! points of the crate as the binary wires them.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result: Result<i32, Box<dyn std::error::Error>> = match texts.as_slice() {
        ["sandbox", home] => aviary_node::sandbox_main(Path::new(home))
            .map(|()| 0)
            .map_err(Into::into),
        ["pod-init", spec] => aviary_node::pod_init_main(Path::new(spec))
            .map(|()| 0)
            .map_err(Into::into),
        ["exec", home, "--", ..] => {
            let argv = arguments.get(3..).unwrap_or_default();
            aviary_node::exec_in_node(Path::new(home), argv).map_err(Into::into)
        }
        ["in", home, namespace, pod, "--", ..] => {
            let argv = arguments.get(5..).unwrap_or_default();
            aviary_node::exec_in_pod(Path::new(home), namespace, pod, None, argv)
                .map_err(Into::into)
        }
        _ => {
            Err("usage: pods sandbox H | pod-init SPEC | exec H -- CMD | in H NS POD -- CMD".into())
        }
    };
    match result {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}
