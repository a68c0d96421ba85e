//! The Bookinfo sample application: four small services in one program.
//!
//! `productpage` renders a book with what `details` and `reviews` say of it; `reviews` v2 and v3
//! ask `ratings` for stars. Behaviour (routes, JSON, timeouts, headers passed on) follows the public
//! sample of that name; texts, layout and code are our own.

mod forward;
mod upstream;
mod server;
mod details;
mod ratings;
mod reviews;
mod session;
mod page;
mod productpage;

use clap::{Parser, ValueEnum};

/// The Bookinfo sample application.
#[derive(Debug, Parser)]
struct Args {
    /// Which of the services to be.
    service: Service,
    /// Which version of it: `v1`, `v2`, `v3`.
    #[arg(long, env = "SERVICE_VERSION", default_value = "v1")]
    version: String,
    /// Port to listen on.
    #[arg(long, env = "PORT", default_value_t = 9080)]
    port: u16,
}

/// One of the services.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Service {
    /// The page.
    Productpage,
    /// What is known of a book.
    Details,
    /// What readers say.
    Reviews,
    /// Their stars.
    Ratings,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let version = args.version;
    match args.service {
        Service::Productpage => server::serve(args.port, productpage::App::new(version)).await,
        Service::Details => server::serve(args.port, details::App { version }).await,
        Service::Reviews => server::serve(args.port, reviews::App::new(version)?).await,
        Service::Ratings => server::serve(args.port, ratings::App::new(version)).await,
    }
}

/// A setting of the environment, or its default.
fn setting(name: &str, default: &str) -> String {
    std::env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .unwrap_or_else(|| default.to_owned())
}

/// Name of the pod that this process runs in.
fn pod_name() -> String {
    setting(
        "POD_NAME",
        &setting(
            "HOSTNAME",
            &std::fs::read_to_string("/etc/hostname").unwrap_or_default(),
        ),
    )
    .trim()
    .to_owned()
}
