//! A request head for tests.

use std::borrow::Cow;

use crate::resolve::{Caller, Head};

/// A request of given parts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: Vec<(&'a str, &'a str)>,
    /// Names of headers whose values are not text.
    pub(crate) unreadable: Vec<&'a str>,
    pub(crate) caller: Option<Caller<'a>>,
}

impl<'a> Request<'a> {
    /// A `GET` with these headers.
    pub(crate) fn get(path: &'a str, headers: &[(&'a str, &'a str)]) -> Self {
        Self {
            method: "GET",
            path,
            headers: headers.to_vec(),
            ..Self::default()
        }
    }
}

impl Head for Request<'_> {
    fn method(&self) -> &str {
        self.method
    }
    fn authority(&self) -> &'static str {
        "reviews:9080"
    }
    fn scheme(&self) -> &'static str {
        "http"
    }
    fn path_and_query(&self) -> &str {
        self.path
    }
    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut values = self.headers.iter().filter(|(key, _)| *key == name);
        let first = values.next()?.1;
        Some(values.fold(Cow::Borrowed(first), |all, (_, value)| {
            Cow::Owned(format!("{all},{value}"))
        }))
    }
    fn each_value(&self, name: &str, take: &mut dyn FnMut(&str)) {
        for (_, value) in self.headers.iter().filter(|(key, _)| *key == name) {
            take(value);
        }
    }
    fn is_unreadable(&self, name: &str) -> bool {
        self.unreadable.contains(&name)
    }
    fn caller(&self) -> Option<&Caller<'_>> {
        self.caller.as_ref()
    }
}
