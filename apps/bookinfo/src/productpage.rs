//! The page and its JSON API.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::page::{self, Origin, View};
use crate::server::{self, Call, Reply, healthy, not_found};
use crate::upstream::{Failure, Upstream};
use crate::{forward, pod_name, session};

/// How long each call of another service may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How often reviews are asked for before the page gives up.
const REVIEWS_ATTEMPTS: u32 = 2;
/// The only product.
const PRODUCT: u64 = 0;

/// The service.
pub(crate) struct App {
    version: String,
    details: Upstream,
    reviews: Upstream,
    ratings: Upstream,
}

impl App {
    /// Finds the others by their names.
    pub(crate) fn new(version: String) -> Self {
        let [details, reviews, ratings] = ["details", "reviews", "ratings"].map(Upstream::new);
        Self {
            version,
            details,
            reviews,
            ratings,
        }
    }

    async fn page(&self, call: &Call) -> Reply {
        let headers = onward(&call.headers);
        let (details, reviews) = tokio::join!(
            self.details(PRODUCT, &headers),
            self.reviews(PRODUCT, &headers)
        );
        let user = session::user(&call.headers);
        let view = View {
            user: user.as_deref(),
            details: details.as_ref().map_err(Failure::status),
            reviews: reviews.as_ref().map_err(Failure::status),
            own: Origin {
                version: &self.version,
                pod: &pod_name(),
            },
        };
        server::reply(
            StatusCode::OK,
            "text/html; charset=utf-8",
            page::render(&view),
        )
    }

    async fn details(&self, id: u64, headers: &HeaderMap) -> Result<Value, Failure> {
        self.details
            .get(&format!("/details/{id}"), headers, TIMEOUT)
            .await
    }

    async fn reviews(&self, id: u64, headers: &HeaderMap) -> Result<Value, Failure> {
        let path = format!("/reviews/{id}");
        self.reviews
            .get_with_attempts(&path, headers, TIMEOUT, REVIEWS_ATTEMPTS)
            .await
    }

    async fn api(&self, rest: &[&str], call: &Call) -> Reply {
        let [id, part @ ..] = rest else {
            let product = json!({ "id": PRODUCT, "title": page::TITLE, "version": self.version });
            return server::json(StatusCode::OK, &json!([product]));
        };
        let Ok(id) = id.parse::<u64>() else {
            return server::json(
                StatusCode::BAD_REQUEST,
                &json!({ "error": "please give a numeric product id" }),
            );
        };
        let headers = onward(&call.headers);
        let (answer, what) = match part {
            [] => (self.details(id, &headers).await, "product details"),
            ["reviews"] => (self.reviews(id, &headers).await, "product reviews"),
            ["ratings"] => {
                let path = format!("/ratings/{id}");
                (
                    self.ratings.get(&path, &headers, TIMEOUT).await,
                    "product ratings",
                )
            }
            _ => return not_found(),
        };
        match answer {
            Ok(value) => server::json(StatusCode::OK, &value),
            Err(failure) => server::json(failure.status(), &json!({ "error": unavailable(what) })),
        }
    }
}

impl server::App for App {
    fn name(&self) -> &'static str {
        "productpage"
    }

    fn version(&self) -> &str {
        &self.version
    }

    async fn answer(&self, call: Call) -> Reply {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            [] => redirect(None),
            ["health"] => healthy("Product page"),
            ["productpage"] => self.page(&call).await,
            ["static", "bookinfo.css"] => {
                server::reply(StatusCode::OK, "text/css; charset=utf-8", page::STYLE)
            }
            ["login"] => {
                let posted = String::from_utf8_lossy(&call.body);
                match session::username(&posted).or_else(|| session::username(&call.query)) {
                    Some(user) => redirect(Some(session::cookie(Some(&user)))),
                    None => server::reply(
                        StatusCode::BAD_REQUEST,
                        "text/plain; charset=utf-8",
                        "please give a user name of letters and digits: username=…\n",
                    ),
                }
            }
            ["logout"] => redirect(Some(session::cookie(None))),
            ["api", "v1", "products", rest @ ..] => self.api(rest, &call).await,
            _ => not_found(),
        }
    }
}

/// The text for a part that could not be had.
fn unavailable(what: &str) -> String {
    format!("Sorry, {what} are currently unavailable for this book.")
}

/// What goes on to the other services: the usual headers, and who reads.
fn onward(incoming: &HeaderMap) -> HeaderMap {
    let mut headers = forward::headers(incoming);
    if let Some(user) = session::user(incoming).and_then(|user| HeaderValue::try_from(user).ok()) {
        headers.insert("end-user", user);
    }
    headers
}

fn redirect(cookie: Option<String>) -> Reply {
    let mut reply = server::reply(StatusCode::FOUND, "text/plain; charset=utf-8", "");
    reply
        .headers_mut()
        .insert(header::LOCATION, HeaderValue::from_static("/productpage"));
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
        reply.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    reply
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    #[test]
    fn onward_headers_name_the_reader() {
        let mut incoming = HeaderMap::new();
        incoming.insert("cookie", "session=jason".parse().unwrap());
        assert_eq!(super::onward(&incoming)["end-user"], "jason");
    }

    #[test]
    fn unavailable_reviews_are_told_as_the_tutorials_say() {
        assert_eq!(
            super::unavailable("product reviews"),
            "Sorry, product reviews are currently unavailable for this book."
        );
    }
}
