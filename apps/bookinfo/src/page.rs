//! The page as HTML.

use http::StatusCode;
use serde_json::Value;

/// The book.
pub(crate) const TITLE: &str = "The Comedy of Errors";
/// The style sheet.
pub(crate) const STYLE: &str = include_str!("../static/bookinfo.css");
/// Highest number of stars.
const STARS: usize = 5;

/// Which copy of a service answered.
pub(crate) struct Origin<'a> {
    /// `v1` and so on.
    pub(crate) version: &'a str,
    /// Name of its pod; may be empty.
    pub(crate) pod: &'a str,
}

/// What the page shows.
pub(crate) struct View<'a> {
    /// Who reads.
    pub(crate) user: Option<&'a str>,
    /// The answer of details, or the status of its failure.
    pub(crate) details: Result<&'a Value, StatusCode>,
    /// The answer of reviews, or the status of its failure.
    pub(crate) reviews: Result<&'a Value, StatusCode>,
    /// This copy of productpage.
    pub(crate) own: Origin<'a>,
}

/// The whole page.
pub(crate) fn render(view: &View<'_>) -> String {
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE} · Bookinfo</title>
<link rel="stylesheet" href="/static/bookinfo.css">
</head>
<body>
<header class="bar">
  <a class="brand" href="/productpage"><span class="mark" aria-hidden="true"></span>Bookinfo</a>
  {reader}
</header>
<main>
  <section class="hero">
    <div class="cover" aria-hidden="true"><b>The<br>Comedy<br>of Errors</b><i>W. Shakespeare</i></div>
    <div class="about">
      <p class="kicker">Play · 1595</p>
      <h1>{TITLE}</h1>
      <p class="lede">Two masters and two servants, each with a twin who was lost at sea, meet in one town on one day.
      Everybody is taken for somebody else until the last page.</p>
      {details}
    </div>
  </section>
  {reviews}
</main>
<footer>
  <h2>Who served this page</h2>
  <ul class="chain">{chain}</ul>
</footer>
</body>
</html>
"#,
        reader = reader(view.user),
        details = details(view.details),
        reviews = reviews(view.reviews),
        chain = chain(view),
    )
}

fn reader(user: Option<&str>) -> String {
    match user {
        Some(user) => format!(
            r#"<div class="reader"><span class="who">{}</span><a class="button" href="/logout">Sign out</a></div>"#,
            escape(user)
        ),
        None => r#"<form class="reader" method="post" action="/login">
    <input name="username" placeholder="User name" aria-label="User name" autocomplete="off" required pattern="[A-Za-z0-9._\-]+" maxlength="64">
    <input type="hidden" name="passwd" value="">
    <button class="button">Sign in</button>
  </form>"#
            .to_owned(),
    }
}

fn details(details: Result<&Value, StatusCode>) -> String {
    match details {
        Ok(book) => {
            let fact = |name: &str, key: &str| {
                format!(
                    "<div><dt>{name}</dt><dd>{}</dd></div>",
                    escape(&text(&book[key]))
                )
            };
            let facts = [
                ("Author", "author"),
                ("Type", "type"),
                ("Pages", "pages"),
                ("Publisher", "publisher"),
                ("Language", "language"),
                ("ISBN-10", "ISBN-10"),
                ("ISBN-13", "ISBN-13"),
            ];
            let facts: String = facts.iter().map(|(name, key)| fact(name, key)).collect();
            format!(r#"<dl class="facts" id="details">{facts}</dl>"#)
        }
        Err(status) => problem(
            "details",
            "Error fetching product details!",
            "product details",
            status,
        ),
    }
}

fn reviews(reviews: Result<&Value, StatusCode>) -> String {
    match reviews {
        Ok(answer) => {
            let cards: String = answer["reviews"]
                .as_array()
                .into_iter()
                .flatten()
                .map(card)
                .collect();
            format!(
                r#"<section class="reviews" id="reviews"><div class="title"><h2>Book Reviews</h2>
    <p class="served">Reviews served by: <code>{}</code></p></div>
  <div class="cards">{cards}</div></section>"#,
                escape(&text(&answer["podname"]))
            )
        }
        Err(status) => format!(
            r#"<section class="reviews" id="reviews">{}</section>"#,
            problem(
                "reviews-problem",
                "Error fetching product reviews!",
                "product reviews",
                status
            )
        ),
    }
}

fn card(review: &Value) -> String {
    let rating = &review["rating"];
    let stars = if rating.is_null() {
        String::new()
    } else if let Some(count) = rating["stars"].as_u64() {
        let count = usize::try_from(count).unwrap_or(STARS).min(STARS);
        let color = escape(&text(&rating["color"]));
        format!(
            r#"<p class="stars {color}" role="img" aria-label="{count} of {STARS} {color} stars">{}<span class="rest">{}</span></p>"#,
            "★".repeat(count),
            "★".repeat(STARS - count)
        )
    } else {
        format!(
            r#"<p class="problem small">{}</p>"#,
            escape(&text(&rating["error"]))
        )
    };
    let reader = escape(&text(&review["reviewer"]));
    format!(
        r#"<article class="card">{stars}<blockquote>{}</blockquote><p class="by">{reader}</p></article>"#,
        escape(&text(&review["text"]))
    )
}

fn problem(id: &str, title: &str, what: &str, status: StatusCode) -> String {
    format!(
        r#"<div class="problem" id="{id}"><h2>{title}</h2><p>Sorry, {what} are currently unavailable for this book.</p><p class="code">status {}</p></div>"#,
        status.as_u16()
    )
}

fn chain(view: &View<'_>) -> String {
    let link = |service: &str, version: &str, pod: &str| {
        format!(
            r#"<li class="{}"><b>{service}</b> <span class="version">{}</span> <code>{}</code></li>"#,
            if version.is_empty() { "down" } else { "up" },
            escape(if version.is_empty() {
                "no answer"
            } else {
                version
            }),
            escape(pod)
        )
    };
    let mut chain = link("productpage", view.own.version, view.own.pod);
    chain += &match view.details {
        Ok(_) => link("details", "v1", ""),
        Err(_) => link("details", "", ""),
    };
    chain += &match view.reviews {
        Ok(answer) => link(
            "reviews",
            &text(&answer["version"]),
            &text(&answer["podname"]),
        ),
        Err(_) => link("reviews", "", ""),
    };
    chain
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::json;

    use super::{Origin, View, render};

    fn page(reviews: Result<&serde_json::Value, StatusCode>) -> String {
        let details = json!({ "author": "A & B" });
        let own = Origin {
            version: "v1",
            pod: "productpage-1",
        };
        render(&View {
            user: Some("jason"),
            details: Ok(&details),
            reviews,
            own,
        })
    }

    #[test]
    fn page_shows_stars_in_their_colour() {
        let reviews = json!({
            "podname": "reviews-v3-x", "version": "v3",
            "reviews": [{ "reviewer": "Reviewer1", "text": "<b>", "rating": { "stars": 4, "color": "red" } }],
        });
        let html = page(Ok(&reviews));
        assert!(html.contains(r#"class="stars red""#));
        assert!(html.contains("★★★★<span"));
        assert!(html.contains("Reviews served by: <code>reviews-v3-x</code>"));
        assert!(html.contains("&lt;b&gt;") && html.contains("A &amp; B"));
    }

    #[test]
    fn page_without_ratings_has_no_stars() {
        let reviews = json!({ "podname": "p", "version": "v1", "reviews": [{ "reviewer": "Reviewer1", "text": "t" }] });
        assert!(!page(Ok(&reviews)).contains("class=\"stars"));
    }

    #[test]
    fn page_says_sorry_when_reviews_fail() {
        let html = page(Err(StatusCode::INTERNAL_SERVER_ERROR));
        assert!(html.contains("Sorry, product reviews are currently unavailable for this book."));
        assert!(html.contains("status 500"));
    }
}
