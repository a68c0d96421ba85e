//! The choice of a route: all matchers, over any request.

use std::borrow::Cow;

use aviary_http::{Key, RequestHead};
use aviary_mesh::compiled::Table;
use aviary_mesh::resolve::{self, Head};
use aviary_xds::Bootstrap;
use rand::SeedableRng;
use rand::rngs::StdRng;

struct Seen<'a>(&'a RequestHead);

impl Head for Seen<'_> {
    fn method(&self) -> &str {
        self.0.method()
    }

    fn authority(&self) -> &str {
        self.0.authority()
    }

    fn scheme(&self) -> &str {
        self.0.scheme().text()
    }

    fn path_and_query(&self) -> &str {
        self.0.path()
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.fields.joined(Key::from(name))
    }
}

/// Resolves requests: `data` is a bootstrap file, a line `---`, and requests one after the other.
/// The proxy decides as `explain` tells, and the same each time.
pub fn run(data: &[u8]) {
    const LINE: &[u8] = b"\n---\n";
    let Some(at) = data.windows(LINE.len()).position(|bytes| bytes == LINE) else {
        return;
    };
    let (file, mut requests) = (&data[..at], &data[at + LINE.len()..]);
    let Some(bootstrap) = std::str::from_utf8(file)
        .ok()
        .and_then(|text| Bootstrap::read(text).ok())
    else {
        return;
    };
    let tables = crate::bootstrap::tables(&bootstrap);
    let tables: Vec<Table> = tables.into_iter().map(Table::new).collect();
    while let Some((head, end)) = crate::request::read(requests) {
        requests = &requests[end..];
        for table in &tables {
            let seen = Seen(&head);
            let rng = || StdRng::seed_from_u64(1);
            let decision = resolve::request(table, &seen, &mut rng());
            let (explained, reasons) = resolve::explain(table, &seen, &mut rng());
            assert_eq!(decision, explained);
            assert!(!reasons.is_empty());
            assert_eq!(decision, resolve::request(table, &seen, &mut rng()));
        }
    }
}
