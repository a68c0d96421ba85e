use super::*;

struct Known {
    workload: Arc<WorkloadLabels>,
    service: Arc<ServiceLabels>,
}

impl Known {
    fn new(service: &str) -> Self {
        Self {
            workload: Arc::default(),
            service: Arc::new(ServiceLabels {
                host: service.into(),
                ..ServiceLabels::default()
            }),
        }
    }

    fn labels(&self, code: u16) -> Labels<'_> {
        Labels {
            reporter: Reporter::Destination,
            source: &self.workload,
            destination: &self.workload,
            service: &self.service,
            source_principal: None,
            destination_principal: None,
            protocol: Protocol::Http,
            code,
            grpc_status: GrpcStatus::NONE,
            flags: Flags::NONE,
            security: Security::None,
        }
    }
}

fn counts(batch: &Batch) -> Vec<(u16, u64)> {
    batch
        .requests
        .iter()
        .map(|(labels, counted)| (labels.code, counted.total))
        .collect()
}

#[test]
fn request_same_labels_share_a_series() {
    let known = Known::new("reviews");
    let mut recorder = Recorder::default();
    for code in [200, 503, 200, 200] {
        recorder.request(&known.labels(code), Measures::default());
    }
    assert_eq!(counts(&recorder.take(Duration::ZERO)), [(200, 3), (503, 1)]);
    assert_eq!(counts(&recorder.take(Duration::ZERO)), []);
}

#[test]
fn request_labels_made_again_find_their_series() {
    let mut recorder = Recorder::default();
    let mut old = Vec::new();
    for _ in 0..100 {
        let known = Known::new("reviews");
        recorder.request(&known.labels(200), Measures::default());
        // An older configuration is still in use beside the new one.
        old.push(known);
        recorder.request(&old[0].labels(200), Measures::default());
    }
    assert_eq!(recorder.series(), 1);
    assert_eq!(counts(&recorder.take(Duration::ZERO)), [(200, 200)]);
}

#[test]
fn request_each_part_of_the_labels_tells_apart() {
    let (known, other) = (Known::new("reviews"), Known::new("ratings"));
    let mut named = WorkloadLabels::clone(&known.workload);
    named.workload = "other".into();
    let named = Arc::new(named);
    let principal: Arc<str> = "spiffe://cluster.local/ns/a/sa/b".into();
    let base = known.labels(200);
    let all = [
        base,
        known.labels(201),
        other.labels(200),
        Labels {
            reporter: Reporter::Source,
            ..base
        },
        Labels {
            source: &named,
            ..base
        },
        Labels {
            destination: &named,
            ..base
        },
        Labels {
            source_principal: Some(&principal),
            ..base
        },
        Labels {
            destination_principal: Some(&principal),
            ..base
        },
        Labels {
            protocol: Protocol::Grpc,
            ..base
        },
        Labels {
            grpc_status: GrpcStatus::OK,
            ..base
        },
        Labels {
            flags: Flags::NO_ROUTE,
            ..base
        },
        Labels {
            security: Security::MutualTls,
            ..base
        },
    ];
    let mut recorder = Recorder::default();
    for labels in all.iter().chain(&all) {
        recorder.request(labels, Measures::default());
    }
    let batch = recorder.take(Duration::ZERO);
    assert_eq!(batch.requests.len(), all.len());
    assert!(batch.requests.iter().all(|(_, counted)| counted.total == 2));
    let mut texts: Vec<_> = batch.requests.iter().map(|(set, _)| set.text()).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), all.len());
}

#[test]
fn request_series_over_the_limit_are_dropped_and_counted() {
    let mut recorder = Recorder::default();
    let services: Vec<_> = (0..SERIES_LIMIT + 3)
        .map(|number| Known::new(&format!("{number}")))
        .collect();
    for known in &services {
        recorder.request(&known.labels(200), Measures::default());
    }
    assert_eq!(recorder.series(), SERIES_LIMIT);
    let batch = recorder.take(Duration::ZERO);
    assert_eq!((batch.requests.len(), batch.dropped), (SERIES_LIMIT, 3));
    assert_eq!(recorder.take(IDLE).requests.len(), 0);
    assert_eq!(recorder.series(), 0);
    recorder.request(&services[SERIES_LIMIT].labels(200), Measures::default());
    assert_eq!(counts(&recorder.take(IDLE)), [(200, 1)]);
}

#[test]
fn grpc_status_parse_reads_what_is_sent() {
    for (value, number) in [
        ("0", 0),
        ("14", 14),
        ("254", 254),
        ("255", 2),
        ("-1", 2),
        ("", 2),
        ("ok", 2),
    ] {
        let status = GrpcStatus::parse(value.as_bytes());
        assert_eq!(status.number(), Some(number), "{value}");
    }
    assert_eq!(GrpcStatus::NONE.number(), None);
}

#[test]
fn request_labels_in_several_places_are_all_learned() {
    let known: Vec<_> = (0..40).map(|_| Known::new("reviews")).collect();
    let other = Known::new("ratings");
    let mut recorder = Recorder::default();
    for _ in 0..3 {
        for known in &known {
            recorder.request(&known.labels(200), Measures::default());
            recorder.request(&other.labels(503), Measures::default());
        }
    }
    let counted = counts(&recorder.take(Duration::ZERO));
    assert_eq!(counted, [(200, 120), (503, 120)]);
}
