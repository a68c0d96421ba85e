//! Rules by version.

use aviary_api::{
    names,
    release::WHOLE,
    virtual_service::{
        Destination, HttpMatch, HttpMirror, HttpRewrite, HttpRoute, HttpRouteDestination, Percent,
        StringMatch, TcpRoute, TcpRouteDestination,
    },
};

use super::{both::both, subsets::Subsets};
use crate::{
    ObjectKey,
    overlay::{Guard, methods, reduce},
};

/// Turns the rules of one `VirtualService` into rules by version.
pub(super) struct Rules<'a> {
    guard: &'a Guard,
    subsets: &'a Subsets,
    key: &'a ObjectKey,
    blocks: Vec<HttpMatch>,
    /// What could not be said.
    pub(super) notes: Vec<String>,
}

impl<'a> Rules<'a> {
    pub(super) fn new(guard: &'a Guard, subsets: &'a Subsets, key: &'a ObjectKey) -> Self {
        let matched = guard.overlay.matched.iter();
        let mut blocks: Vec<HttpMatch> = matched.flat_map(|it| it.matches.clone()).collect();
        // In the object's namespace a short name would mean another gateway.
        for gateway in blocks.iter_mut().flat_map(|block| &mut block.gateways) {
            *gateway = names::expand_gateway(gateway, &guard.key.namespace);
        }
        Self {
            guard,
            subsets,
            key,
            blocks,
            notes: Vec::new(),
        }
    }

    /// The rules that a rule becomes, in order.
    pub(super) fn http(&mut self, rule: &HttpRoute) -> Vec<HttpRoute> {
        let mut rule = rule.clone();
        self.pin_copies(&mut rule);
        let several = rule.route.len() > 1;
        rule.route.retain(|branch| !several || branch.weight > 0);
        if !rule
            .route
            .iter()
            .any(|branch| self.is_own(&branch.destination))
        {
            return vec![rule];
        }
        let mut rules = Vec::new();
        if let Some(matched) = &self.guard.overlay.matched {
            for block in self.blocks.clone() {
                for narrowed in self.narrowed(&rule, &block) {
                    let one = [(matched.version.as_str(), WHOLE)];
                    rules.extend(self.split(narrowed, &one));
                }
            }
        }
        let shares = self.guard.live_shares();
        rules.extend(self.split(rule, &shares));
        rules
    }

    /// As [`Rules::http`], for connections.
    pub(super) fn tcp(&self, rule: &TcpRoute) -> TcpRoute {
        let mut route = Vec::new();
        let several = rule.route.len() > 1;
        let live = rule.route.iter();
        for branch in live.filter(|branch| !several || branch.weight > 0) {
            let weight = if several { branch.weight } else { 1 };
            for (destination, weight) in
                self.versions(&branch.destination, weight, &self.guard.live_shares())
            {
                route.push(TcpRouteDestination {
                    destination,
                    weight,
                });
            }
        }
        relative(route.iter_mut().map(|branch| &mut branch.weight).collect());
        TcpRoute {
            route,
            matches: rule.matches.clone(),
        }
    }

    fn is_own(&self, destination: &Destination) -> bool {
        names::expand_host(&destination.host, &self.key.namespace) == self.guard.host
    }

    /// As for routes: the user's own copies go to the steady version.
    fn pin_copies(&self, rule: &mut HttpRoute) {
        let mirrors = rule
            .mirrors
            .iter_mut()
            .map(|mirror| &mut mirror.destination);
        for destination in mirrors.chain(&mut rule.mirror) {
            if self.is_own(destination) {
                let name = self.subsets.name(&destination.subset, self.guard.steady());
                destination.subset = name;
            }
        }
    }

    /// The rule for requests that meet a block as well, one for each of its own blocks: what a
    /// rewrite does depends on the path that was matched.
    fn narrowed(&mut self, rule: &HttpRoute, block: &HttpMatch) -> Vec<HttpRoute> {
        let everything = [HttpMatch::default()];
        let own = if rule.matches.is_empty() {
            &everything[..]
        } else {
            &rule.matches
        };
        let mut rules = Vec::new();
        for user in own {
            match both(user, block) {
                Ok(None) => {}
                Ok(Some(both)) => match rewritten(rule, user, &both) {
                    Ok(rewrite) => rules.push(HttpRoute {
                        matches: vec![both],
                        rewrite,
                        ..rule.clone()
                    }),
                    Err(reason) => self.note(&reason),
                },
                Err(reason) => self.note(&reason),
            }
        }
        rules
    }

    fn note(&mut self, reason: &str) {
        self.notes.push(format!(
            "content: {reason} cannot be joined in a rule of VirtualService `{}`, so its requests go by weight only",
            self.key
        ));
    }

    /// The rule by version, with its twin for copies in front of it.
    fn split(&mut self, mut rule: HttpRoute, shares: &[(&str, u32)]) -> Vec<HttpRoute> {
        let mut route = Vec::new();
        let several = rule.route.len() > 1;
        let foreign = !rule
            .route
            .iter()
            .all(|branch| self.is_own(&branch.destination));
        for branch in &rule.route {
            let weight = if several { branch.weight } else { 1 };
            for (destination, weight) in self.versions(&branch.destination, weight, shares) {
                route.push(HttpRouteDestination {
                    destination,
                    weight,
                    headers: branch.headers.clone(),
                });
            }
        }
        relative(route.iter_mut().map(|branch| &mut branch.weight).collect());
        rule.route = route;
        let twins = self.twins(&rule, shares, foreign);
        twins.into_iter().chain([rule]).collect()
    }

    /// Rules with copies, for the methods that are copied.
    fn twins(&mut self, rule: &HttpRoute, shares: &[(&str, u32)], foreign: bool) -> Vec<HttpRoute> {
        let Some(mirror) = self.guard.overlay.mirror.as_ref().filter(|it| it.parts > 0) else {
            return Vec::new();
        };
        let went_there = shares
            .iter()
            .filter(|(version, _)| *version == mirror.version);
        let went_there = went_there.count();
        if went_there == shares.len() {
            return Vec::new();
        }
        if went_there > 0 || foreign {
            self.notes.push(format!(
                "mirror: in a rule of VirtualService `{}` requests that go elsewhere would be copied, too, so none are",
                self.key
            ));
            return Vec::new();
        }
        let own = rule.route.iter().find(|it| self.is_own(&it.destination));
        let Some(own) = own else {
            return Vec::new();
        };
        let copy = HttpMirror {
            destination: Destination {
                subset: self.subsets.name("", &mirror.version),
                ..own.destination.clone()
            },
            percentage: Some(Percent {
                value: f64::from(mirror.parts) / f64::from(WHOLE / 100),
            }),
        };
        let methods = methods(&self.guard.overlay).join("|");
        let block = HttpMatch {
            method: Some(StringMatch {
                regex: Some(methods),
                ..StringMatch::default()
            }),
            ..HttpMatch::default()
        };
        let mut twins = self.narrowed(rule, &block);
        for twin in &mut twins {
            twin.mirrors.push(copy.clone());
        }
        twins
    }

    /// A destination by version, with weights that are not reduced yet.
    fn versions(
        &self,
        destination: &Destination,
        weight: i64,
        shares: &[(&str, u32)],
    ) -> Vec<(Destination, i64)> {
        let times = |share: u32| weight.saturating_mul(i64::from(share));
        if !self.is_own(destination) {
            return vec![(destination.clone(), times(WHOLE))];
        }
        let versions = shares.iter().map(|(version, share)| {
            let subset = self.subsets.name(&destination.subset, version);
            let destination = Destination {
                subset,
                ..destination.clone()
            };
            (destination, times(*share))
        });
        versions.collect()
    }
}

/// The least weights of the same proportion.
fn relative(mut places: Vec<&mut i64>) {
    let weights = places.iter().map(|it| u64::try_from(**it).unwrap_or(0));
    let mut weights: Vec<u64> = weights.collect();
    reduce(&mut weights);
    for (place, weight) in places.iter_mut().zip(weights) {
        **place = i64::try_from(weight).unwrap_or(i64::MAX);
    }
}

/// The rewrite of a rule whose path condition became narrower.
///
/// # Errors
/// When none does the same.
fn rewritten(
    rule: &HttpRoute,
    user: &HttpMatch,
    both: &HttpMatch,
) -> Result<Option<HttpRewrite>, String> {
    let rewrite = rule.rewrite.clone();
    let Some(mut new) = rewrite.clone().filter(|it| !it.uri.is_empty()) else {
        return Ok(rewrite);
    };
    if new.uri_regex_rewrite.is_some() || user.uri == both.uri {
        return Ok(rewrite);
    }
    let old = match &user.uri {
        None => Some("/"),
        Some(uri) => uri.prefix.as_deref(),
    };
    let narrower = both.uri.as_ref();
    let exact = narrower.and_then(|uri| uri.exact.as_ref());
    let longer = exact.or_else(|| narrower.and_then(|uri| uri.prefix.as_ref()));
    match (
        old,
        longer
            .zip(old)
            .and_then(|(longer, old)| longer.get(old.len()..)),
    ) {
        (_, Some(rest)) => {
            new.uri.push_str(rest);
            Ok(Some(new))
        }
        // Of an expression's path all was replaced, and of this one all is.
        (None, None) if exact.is_some() => Ok(rewrite),
        _ => Err("a rewrite and a condition on the path".to_owned()),
    }
}
