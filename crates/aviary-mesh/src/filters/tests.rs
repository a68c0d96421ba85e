use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::compiled::Table;
use crate::cors::Cors;
use crate::matcher::{HeaderMatch, StringMatch};
use crate::rbac::{Action, Rules};
use crate::resolve::request;
use crate::route::{
    DirectResponse, FaultDelay, Forward, Route, RouteAction, RouteTable, VirtualHost,
    WeightedCluster,
};
use crate::testing::Request;

fn forward() -> RouteAction {
    RouteAction::Forward(Forward {
        clusters: vec![WeightedCluster {
            name: "reviews".to_owned(),
            weight: 100,
            ..WeightedCluster::default()
        }],
        ..Forward::default()
    })
}

fn table(routes: Vec<Route>, filters: FilterSettings) -> Table {
    Table::new(Arc::new(RouteTable {
        virtual_hosts: vec![VirtualHost {
            domains: vec!["*".to_owned()],
            routes,
            filters,
            ..VirtualHost::default()
        }],
        ..RouteTable::default()
    }))
}

fn passed(table: &Table, filters: &[HttpFilter], head: &Request<'_>) -> String {
    let mut rng = SmallRng::seed_from_u64(1);
    let decision = request(table, head, &mut rng);
    let passage = pass(filters, &decision, head, &mut rng);
    let delay = passage.delay.map(|delay| format!("{delay:?} "));
    let end = match passage.stop {
        None => "on".to_owned(),
        Some(Stop::Abort { status, .. }) => format!("abort {status}"),
        Some(Stop::Preflight(_)) => "preflight".to_owned(),
        Some(Stop::Denied { policy }) => format!("denied by {policy:?}"),
    };
    delay.unwrap_or_default() + &end
}

fn fault(delay: u64, abort: u16) -> Fault {
    Fault {
        delay: (delay > 0).then_some(FaultDelay {
            duration: Duration::from_secs(delay),
            percent: 100.0,
        }),
        abort: (abort > 0).then_some(FaultAbort {
            status: abort,
            percent: 100.0,
            ..FaultAbort::default()
        }),
        ..Fault::default()
    }
}

fn nobody() -> Arc<RbacFilter> {
    Arc::new(RbacFilter {
        rules: Some(Rules {
            action: Action::Allow,
            ..Rules::default()
        }),
        ..RbacFilter::default()
    })
}

fn preflight() -> Request<'static> {
    Request {
        method: "OPTIONS",
        ..Request::get(
            "/",
            &[("origin", "a"), ("access-control-request-method", "GET")],
        )
    }
}

#[test]
fn filters_act_in_the_order_of_the_chain() {
    let cors = Cors {
        allow_origins: vec![StringMatch::Exact("*".to_owned()).into()],
        ..Cors::default()
    };
    let settings = FilterSettings {
        cors: Some(Arc::new(cors)),
        ..FilterSettings::default()
    };
    let route = Route {
        action: forward(),
        fault: Some(fault(7, 555)),
        ..Route::default()
    };
    let table = table(vec![route], settings);
    let (rbac, fault) = (HttpFilter::Rbac(nobody()), HttpFilter::Fault(None));
    let (rbac, fault) = (|| rbac.clone(), || fault.clone());
    let cases = [
        (vec![], "on"),
        (vec![rbac(), fault()], "denied by None"),
        (vec![fault(), rbac()], "7s abort 555"),
        (vec![HttpFilter::Cors, rbac()], "preflight"),
        (vec![rbac(), HttpFilter::Cors], "denied by None"),
    ];
    for (filters, expected) in cases {
        assert_eq!(passed(&table, &filters, &preflight()), expected);
    }
}

#[test]
fn filters_come_before_a_missing_route() {
    let table = table(vec![], FilterSettings::default());
    let get = Request::get("/", &[]);
    let own = HttpFilter::Fault(Some(fault(0, 503)));
    assert_eq!(passed(&table, &[own], &get), "abort 503");
    let rbac = HttpFilter::Rbac(nobody());
    assert_eq!(passed(&table, &[rbac], &get), "denied by None");
}

#[test]
fn authorisation_of_the_route_takes_the_place_of_the_filters() {
    let route = Route {
        action: forward(),
        filters: FilterSettings {
            rbac: Some(Arc::default()),
            ..FilterSettings::default()
        },
        ..Route::default()
    };
    let rbac = [HttpFilter::Rbac(nobody())];
    let get = Request::get("/", &[]);
    let open = table(vec![route], FilterSettings::default());
    assert_eq!(passed(&open, &rbac, &get), "on");
}

#[test]
fn cors_leaves_direct_answers_alone() {
    let route = Route {
        action: RouteAction::Direct(DirectResponse {
            status: 200,
            body: String::new(),
        }),
        filters: FilterSettings {
            cors: Some(Arc::default()),
            ..FilterSettings::default()
        },
        ..Route::default()
    };
    let table = table(vec![route], FilterSettings::default());
    assert_eq!(passed(&table, &[HttpFilter::Cors], &preflight()), "on");
}

#[test]
fn fault_concerns_only_its_headers_and_cluster() {
    let with = |fault: Fault| {
        table(
            vec![Route {
                action: forward(),
                fault: Some(fault),
                ..Route::default()
            }],
            FilterSettings::default(),
        )
    };
    let to = |cluster: &str| Fault {
        upstream_cluster: cluster.to_owned(),
        ..fault(0, 500)
    };
    let jason = Fault {
        headers: vec![HeaderMatch {
            name: "end-user".to_owned(),
            value: Some(StringMatch::Exact("jason".to_owned())),
            invert: false,
            missing_as_empty: false,
            ignore_case: false,
        }],
        ..fault(3, 0)
    };
    let filters = [HttpFilter::Fault(None)];
    let get = Request::get("/", &[]);
    let asked = Request::get("/", &[("end-user", "jason")]);
    assert_eq!(passed(&with(to("reviews")), &filters, &get), "abort 500");
    assert_eq!(passed(&with(to("ratings")), &filters, &get), "on");
    assert_eq!(passed(&with(jason.clone()), &filters, &get), "on");
    assert_eq!(passed(&with(jason), &filters, &asked), "3s on");
}

#[test]
fn fault_share_is_drawn() {
    let half = Fault {
        abort: Some(FaultAbort {
            status: 555,
            percent: 50.0,
            ..FaultAbort::default()
        }),
        ..Fault::default()
    };
    let table = table(vec![], FilterSettings::default());
    let filters = [HttpFilter::Fault(Some(half))];
    let get = Request::get("/", &[]);
    let mut rng = SmallRng::seed_from_u64(3);
    let decision = request(&table, &get, &mut rng);
    let aborted = (0..1_000)
        .filter(|_| pass(&filters, &decision, &get, &mut rng).stop.is_some())
        .count();
    assert!((440..560).contains(&aborted), "{aborted}");
}
