//! What to do about metrics that no alert reads. The others have their alerts.

/// By name: of one service, or without the service where it is the same for all.
const TODO: &[(&str, &str)] = &[
    ("build_info", "Nothing. During an upgrade: do all run the same?"),
    ("dependency_up", "0 for minutes: look at `/readyz` of that process, which says why"),
    ("spans_exported_total", "Nothing: for comparison with what is dropped"),
    (
        "spans_dropped_total",
        "Rises: see to the collector, or follow fewer messages ([traces](traces.md)). The chat goes on",
    ),
    ("sent_bytes_total", "Nothing: for [capacity](capacity.md)"),
    ("http_connections", "Nothing: for [capacity](capacity.md)"),
    (
        "gateway_sockets_shed_total",
        "Nothing: after a gateway came it rises for a while. Rises for ever: give all gateways the same `sockets_target`",
    ),
    ("gateway_sent_bytes_per_second", "Nothing: autoscalers read it"),
    ("gateway_delivered_total", "Nothing: for comparison with what is sent"),
    ("gateway_typing_dropped_total", "Nothing: for comparison"),
    ("gateway_holes_total", "Rises for long: [GatewayEventsRepaired](alerts.md#gatewayeventsrepaired)"),
    (
        "gateway_request_seconds",
        "Slow: which `page`? `auth`: [AuthHashingSlow](alerts.md#authhashingslow); `history`, `room`: [HistoryQueriesSlow](alerts.md#historyqueriesslow); `search`: [SearchesSlow](alerts.md#searchesslow)",
    ),
    (
        "gateway_gateways_died_total",
        "Nothing at a roll-out. Rises else: look for pods that are killed (`kubectl get pods`), or for a broker that loses connections",
    ),
    ("gateway_erased_total", "Nothing: for comparison"),
    (
        "history_worker_shards",
        "Together fewer than there are shards for minutes: [HistoryLags](alerts.md#historylags). Else nothing",
    ),
    ("history_worker_duplicate_events_total", "Nothing: somebody sent a message twice, and it is shown once"),
    ("history_worker_set_aside_total", "Rises: [HistoryEventsSetAside](alerts.md#historyeventssetaside)"),
    (
        "history_worker_ignored_changes_total",
        "Nothing: two people changed the same at once, or a program errs",
    ),
    ("history_worker_erased_entries_total", "Nothing: for comparison with what waits"),
    ("history_worker_replayed_entries_total", "Nothing: how fast a replay goes"),
    ("history_worker_batch_entries", "Nothing: large ones mean that it catches up"),
    (
        "history_worker_batch_seconds",
        "Above a second for long: give the database a faster disk ([HistoryLags](alerts.md#historylags))",
    ),
    (
        "history_worker_shard_lag_events",
        "One shard alone: it has a busy room, or its database is slow ([HistoryLags](alerts.md#historylags))",
    ),
    (
        "history_worker_shard_lag_seconds",
        "One shard alone: it has a busy room, or its database is slow ([HistoryLags](alerts.md#historylags))",
    ),
    (
        "history_worker_snapshot_timestamp_seconds",
        "Nothing: for comparison with the last backup, of which it is the first part",
    ),
    ("history_worker_set_aside_now", "Not 0: [HistoryEventsSetAside](alerts.md#historyeventssetaside)"),
    ("search_worker_keys_unwrap_failed_total", "Rises: [SearchTextsUnopened](alerts.md#searchtextsunopened)"),
    ("search_worker_entries_total", "Nothing: how fast it reads"),
    ("search_worker_commit_seconds", "Above ten seconds: give the index a faster disk"),
    (
        "search_worker_thrown_away_total",
        "Rises: look at its disk and its root keys; the log has the reason. The index is made anew by itself",
    ),
    ("search_worker_documents", "Nothing: workers that have caught up have about the same"),
    (
        "auth_service_registrations_total",
        "Many `created` that you don't know of: a program registers, block it in front",
    ),
    (
        "auth_service_renewals_total",
        "Many `refused`: people come back after long, or see [AuthSecretsReused](alerts.md#authsecretsreused)",
    ),
    ("auth_service_keys_published_total", "Nothing: for comparison"),
    ("auth_service_keys_made_total", "Nothing: one for each room and person"),
    ("auth_service_keys_erased_total", "Nothing: for comparison with who was erased"),
    ("auth_service_request_seconds", "Slow: [AuthHashingSlow](alerts.md#authhashingslow), or the database"),
    (
        "auth_service_http_refused_total",
        "Rises: raise `BACKCHAT_AUTH_SERVICE_HTTP_CONNECTIONS_PER_ADDRESS_MAX` behind a proxy, which is one address for it",
    ),
];

/// What there is to do; `None` where nobody has said it.
pub fn todo(name: &str) -> Option<&'static str> {
    let is_meant = |written: &str| {
        name.strip_prefix("backchat_").is_some_and(|name| {
            let of_all = ["gateway_", "history_worker_", "search_worker_", "auth_service_"];
            name == written || of_all.iter().any(|service| name.strip_prefix(service) == Some(written))
        })
    };
    TODO.iter().find(|(written, _)| is_meant(written)).map(|(_, todo)| *todo)
}

/// The names for which something is written.
pub fn named() -> impl Iterator<Item = &'static str> {
    TODO.iter().map(|(name, _)| *name)
}
