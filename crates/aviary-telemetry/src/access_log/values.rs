//! Header fields kept for the log, in one piece of memory.

use aviary_http::{Fields, Name, RequestHead, ResponseHead};

/// What the formats of a chain name; a number stands for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    all: Vec<(Place, Field)>,
    /// A bit for each place of theirs.
    places: u8,
}

/// Which head it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Request,
    Response,
    Trailers,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    Method,
    Path,
    Authority,
    Scheme,
    Status,
    Named(Name),
    Text(Box<str>),
}

impl Field {
    /// The field of a lower-case name.
    fn new(name: &str) -> Self {
        match name {
            ":method" => Self::Method,
            ":path" => Self::Path,
            ":authority" | "host" => Self::Authority,
            ":scheme" => Self::Scheme,
            ":status" => Self::Status,
            other => match Name::of(other.as_bytes()) {
                Name::Other => Self::Text(other.into()),
                known => Self::Named(known),
            },
        }
    }

    fn find<'f>(&self, fields: &'f Fields) -> Option<&'f [u8]> {
        match self {
            Self::Named(name) => fields.get(*name),
            Self::Text(name) => fields.get(&**name),
            _ => None,
        }
    }
}

impl Wanted {
    /// The number of a field.
    pub(super) fn number(&mut self, place: Place, name: &str) -> usize {
        let wanted = (place, Field::new(&name.to_ascii_lowercase()));
        if let Some(number) = self.all.iter().position(|known| *known == wanted) {
            return number;
        }
        self.places |= 1 << place as u8;
        self.all.push(wanted);
        self.all.len() - 1
    }

    pub(super) fn request(&self, head: &RequestHead, into: &mut Values) {
        self.keep(Place::Request, into, |field| match field {
            Field::Method => Some(head.method().as_bytes()),
            Field::Path => Some(head.path().as_bytes()),
            Field::Authority => Some(head.authority().as_bytes()),
            Field::Scheme => Some(head.scheme().text().as_bytes()),
            other => other.find(&head.fields),
        });
    }

    pub(super) fn response(&self, head: &ResponseHead, into: &mut Values) {
        // Three digits, as on the wire.
        let code = head.status();
        let status = [code / 100 % 10, code / 10 % 10, code % 10]
            .map(|digit| u8::try_from(digit).map_or(b'0', |digit| b'0' + digit));
        self.keep(Place::Response, into, |field| match field {
            Field::Status => Some(&status),
            other => other.find(&head.fields),
        });
    }

    /// Whether something of that head is wanted.
    pub(super) fn any_in(&self, place: Place) -> bool {
        self.places & 1 << place as u8 != 0
    }

    pub(super) fn trailers(&self, trailers: &Fields, into: &mut Values) {
        self.keep(Place::Trailers, into, |field| field.find(trailers));
    }

    fn keep<'v>(&self, place: Place, into: &mut Values, find: impl Fn(&Field) -> Option<&'v [u8]>) {
        if !self.any_in(place) {
            return;
        }
        if into.spans.len() < self.all.len() {
            into.spans.resize(self.all.len(), MISSING);
            into.bytes.reserve(16 * self.all.len());
        }
        for ((where_to_look, field), span) in self.all.iter().zip(&mut into.spans) {
            if *where_to_look != place {
                continue;
            }
            *span = MISSING;
            if let Some(value) = find(field) {
                let start = into.bytes.len();
                into.bytes.extend_from_slice(value);
                if let (Ok(start), Ok(end)) =
                    (u32::try_from(start), u32::try_from(into.bytes.len()))
                {
                    *span = (start, end);
                }
            }
        }
    }
}

const MISSING: (u32, u32) = (u32::MAX, 0);

/// The fields of one exchange that the formats name, copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    bytes: Vec<u8>,
    spans: Vec<(u32, u32)>,
}

impl Values {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// The value of a field, which may be no text.
    pub(super) fn get(&self, number: usize) -> Option<&[u8]> {
        let (start, end) = *self.spans.get(number)?;
        self.bytes.get(start as usize..end as usize)
    }
}
