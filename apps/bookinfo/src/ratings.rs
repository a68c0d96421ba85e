//! The readers' stars.

use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::server::{self, Call, Reply, healthy, not_found};

/// The service; what is posted lives as long as the process.
pub(crate) struct App {
    version: String,
    ratings: Mutex<Map<String, Value>>,
}

impl App {
    /// With two readers' stars.
    pub(crate) fn new(version: String) -> Self {
        let mut ratings = Map::new();
        ratings.insert("Reviewer1".to_owned(), 5.into());
        ratings.insert("Reviewer2".to_owned(), 4.into());
        Self {
            version,
            ratings: ratings.into(),
        }
    }

    fn with_ratings<T>(&self, read: impl FnOnce(&mut Map<String, Value>) -> T) -> T {
        read(&mut self.ratings.lock())
    }
}

impl server::App for App {
    fn name(&self) -> &'static str {
        "ratings"
    }

    fn version(&self) -> &str {
        &self.version
    }

    async fn answer(&self, call: Call) -> Reply {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        match (&call.method, path.as_slice()) {
            (_, ["health"]) => healthy("Ratings"),
            (&Method::GET | &Method::POST, ["ratings", id]) => {
                let Ok(id) = id.parse::<u64>() else {
                    return bad("please give a numeric product id");
                };
                if call.method == Method::POST {
                    let Ok(posted) = serde_json::from_slice::<Map<String, Value>>(&call.body)
                    else {
                        return bad("please give valid ratings: a JSON object of reader to stars");
                    };
                    self.with_ratings(|ratings| ratings.extend(posted));
                }
                let ratings = self.with_ratings(|ratings| ratings.clone());
                let answer = json!({ "id": id, "ratings": ratings, "version": self.version });
                server::json(StatusCode::OK, &answer)
            }
            _ => not_found(),
        }
    }
}

fn bad(text: &str) -> Reply {
    server::json(StatusCode::BAD_REQUEST, &json!({ "error": text }))
}
