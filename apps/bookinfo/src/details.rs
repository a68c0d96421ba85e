//! What is known of a book.

use http::StatusCode;
use serde_json::json;

use crate::server::{self, Call, Reply, healthy, not_found};

/// The service.
pub(crate) struct App {
    /// `v1` and so on.
    pub(crate) version: String,
}

impl server::App for App {
    fn name(&self) -> &'static str {
        "details"
    }

    fn version(&self) -> &str {
        &self.version
    }

    async fn answer(&self, call: Call) -> Reply {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["health"] => healthy("Details"),
            ["details", id] => match id.parse::<u64>() {
                Ok(id) => server::json(StatusCode::OK, &book(id)),
                Err(_) => server::json(
                    StatusCode::BAD_REQUEST,
                    &json!({ "error": "please give a numeric product id" }),
                ),
            },
            _ => not_found(),
        }
    }
}

fn book(id: u64) -> serde_json::Value {
    json!({
        "id": id,
        "author": "William Shakespeare",
        "year": 1595,
        "type": "paperback",
        "pages": 200,
        "publisher": "PublisherA",
        "language": "English",
        "ISBN-10": "1234567890",
        "ISBN-13": "123-1234567890",
    })
}
