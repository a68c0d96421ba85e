//! What readers say; v2 and v3 with stars.

use std::time::Duration;

use anyhow::bail;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::server::{self, Call, Reply, healthy, not_found};
use crate::upstream::Upstream;
use crate::{forward, pod_name, setting};

/// How a version shows stars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stars {
    color: &'static str,
    /// How long the version waits for ratings.
    timeout: Duration,
}

/// The service.
pub(crate) struct App {
    version: String,
    stars: Option<Stars>,
    ratings: Upstream,
}

impl App {
    /// v1 without stars, v2 black, v3 red.
    ///
    /// # Errors
    /// Another version.
    pub(crate) fn new(version: String) -> anyhow::Result<Self> {
        let stars = match version.as_str() {
            "v1" => None,
            "v2" => Some(Stars {
                color: "black",
                timeout: Duration::from_secs(10),
            }),
            "v3" => Some(Stars {
                color: "red",
                timeout: Duration::from_millis(2_500),
            }),
            other => bail!("there is no version `{other}` of reviews: use v1, v2 or v3"),
        };
        Ok(Self {
            version,
            stars,
            ratings: Upstream::new("ratings"),
        })
    }

    async fn rating_of(
        &self,
        id: u64,
        headers: &HeaderMap,
    ) -> impl Fn(&str) -> Option<Value> + use<> {
        let answer = match self.stars {
            None => None,
            Some(stars) => {
                let path = format!("/ratings/{id}");
                let answer = self
                    .ratings
                    .get(&path, &forward::headers(headers), stars.timeout)
                    .await;
                Some((stars, answer))
            }
        };
        move |reader| {
            let (stars, answer) = answer.as_ref()?;
            Some(
                match answer
                    .as_ref()
                    .ok()
                    .and_then(|a| a["ratings"][reader].as_i64())
                {
                    Some(count) => json!({ "stars": count, "color": stars.color }),
                    None => json!({ "error": "Ratings service is currently unavailable" }),
                },
            )
        }
    }
}

impl server::App for App {
    fn name(&self) -> &'static str {
        "reviews"
    }

    fn version(&self) -> &str {
        &self.version
    }

    async fn answer(&self, call: Call) -> Reply {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["health"] => healthy("Reviews"),
            ["reviews", id] => {
                let Ok(number) = id.parse::<u64>() else {
                    return server::json(
                        StatusCode::BAD_REQUEST,
                        &json!({ "error": "please give a numeric product id" }),
                    );
                };
                let rating = self.rating_of(number, &call.headers).await;
                let review = |reader: &str, text: &str| {
                    let mut review = json!({ "reviewer": reader, "text": text });
                    if let Some(rating) = rating(reader) {
                        review["rating"] = rating;
                    }
                    review
                };
                let answer = json!({
                    "id": id,
                    "podname": pod_name(),
                    "clustername": setting("CLUSTER_NAME", "null"),
                    "version": self.version,
                    "reviews": [
                        review(
                            "Reviewer1",
                            "Two pairs of twins, one harbour town and not a single dull scene. I laughed from the first mix-up to the last.",
                        ),
                        review(
                            "Reviewer2",
                            "Shorter and sillier than the great comedies, and all the better for it. Read it aloud with friends.",
                        ),
                    ],
                });
                server::json(StatusCode::OK, &answer)
            }
            _ => not_found(),
        }
    }
}
