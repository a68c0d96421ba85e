//! What replies get on their way to the client, wherever they come from.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use aviary_http::{Fields, Name, ResponseHead};
use aviary_mesh::cors::Marks;
use aviary_mesh::listener::{HttpChain, ServerHeader};
use aviary_mesh::resolve::{Decision, Outcome};
use aviary_mesh::route::HeaderEdits;

use crate::date::Dates;
use crate::headers;

/// What the replies to one request get.
pub(crate) struct Dress<'a> {
    chain: &'a HttpChain,
    /// The client wants the head only.
    bodiless: bool,
    /// The edits of the route, once there is one.
    edits: Option<[&'a HeaderEdits; 4]>,
    /// For pages of other origins.
    cors: Option<Marks<'a>>,
    /// The request's id, when the client is to be told.
    request_id: Option<Box<[u8]>>,
    /// Tries so far, when the client is to be told; 0 when not.
    tries: Cell<u32>,
}

impl<'a> Dress<'a> {
    pub(crate) fn new(chain: &'a HttpChain) -> Self {
        Self {
            chain,
            bodiless: false,
            edits: None,
            cors: None,
            request_id: None,
            tries: Cell::new(0),
        }
    }

    /// The chain that takes the request.
    pub(crate) fn chain(&self) -> &'a HttpChain {
        self.chain
    }

    /// Notes whether the client wants the head only.
    pub(crate) fn bodiless(&mut self, bodiless: bool) {
        self.bodiless = bodiless;
    }

    /// Whether the client wants the head only.
    pub(crate) fn is_bodiless(&self) -> bool {
        self.bodiless
    }

    /// Takes from the request, as it goes on, what replies say of it.
    pub(crate) fn accepted(&mut self, request: &Fields) {
        if self.chain.request_ids.in_response || request.contains(Name::XEnvoyForceTrace) {
            self.request_id = request.get(Name::XRequestId).map(Into::into);
        }
    }

    /// From here on replies are those of what was decided.
    pub(crate) fn decided(&mut self, decision: &Decision<'a>, cors: Option<Marks<'a>>) {
        self.cors = cors;
        self.edits = Some(match &decision.outcome {
            Outcome::Forward(target) => target.response_edits,
            Outcome::NotFound => return,
            _ => decision.response_edits(),
        });
    }

    /// Notes a try that the client is to be told of.
    pub(crate) fn tried(&self, tries: u32) {
        self.tries.set(tries);
    }

    /// What the router gives a reply of an endpoint, after `took`.
    pub(crate) fn endpoints(&self, fields: &mut Fields, took: Duration) {
        if !self.chain.suppress_envoy_headers {
            let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            fields.set_number(Name::XEnvoyUpstreamServiceTime, millis);
        }
        self.count(fields);
        self.edit(fields);
    }

    /// What the router gives a reply of the proxy's own.
    pub(crate) fn own(&self, fields: &mut Fields) {
        self.edit(fields);
        self.count(fields);
    }

    fn edit(&self, fields: &mut Fields) {
        if let Some(edits) = self.edits {
            headers::apply(fields, edits);
        }
    }

    fn count(&self, fields: &mut Fields) {
        let tries = self.tries.get();
        if tries > 0 {
            fields.set_number(Name::XEnvoyAttemptCount, u64::from(tries));
        }
    }

    /// What every reply of this hop gets.
    ///
    /// Source: Envoy `ConnectionManagerImpl::ActiveStream::encodeHeaders`,
    /// `ConnectionManagerUtility::mutateResponseHeaders`; RFC 9110 section 6.6.1.
    pub(crate) fn hop(&self, head: &mut ResponseHead, dates: &Dates) {
        let fields = &mut head.fields;
        for (name, value) in self.cors.iter().flat_map(Marks::headers) {
            fields.set(name, value.as_bytes());
        }
        let name = self.chain.server_name.as_bytes();
        match self.chain.server_header {
            _ if name.is_empty() => {}
            ServerHeader::Overwrite => fields.set(Name::Server, name),
            ServerHeader::AppendIfAbsent if !fields.contains(Name::Server) => {
                fields.append(Name::Server, name);
            }
            ServerHeader::AppendIfAbsent | ServerHeader::PassThrough => {}
        }
        if !fields.contains(Name::Date) {
            fields.append(Name::Date, &dates.text(SystemTime::now()));
        }
        if let Some(id) = &self.request_id {
            fields.set(Name::XRequestId, id);
        }
        if !self.chain.via.is_empty() {
            headers::append_to_list(fields, Name::Via, ", ", &self.chain.via);
        }
    }
}
