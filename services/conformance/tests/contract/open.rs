//! What the services do not do yet. Each test moves to its section with the commit that makes it pass.

use conformance::platform::{self, click};
use conformance::{Client, Place, eventually};

use crate::database::{MIGRATED, original_rows};

/// §1.2: a newer schema version than known: open read-only and say so, never "migrate down"
#[test]
fn a_newer_schema_is_read_but_not_written() {
    let place = Place::lived_in();
    let webhook = place.webhook().start();
    place.until(MIGRATED, 1);
    webhook.end();
    let changed = place.sql().execute(
        "UPDATE dogwatch_meta SET value = '999' WHERE key LIKE '%version%' OR key LIKE '%schema%'",
        [],
    );
    assert_eq!(changed, Ok(1), "the meta table has one schema version");
    place.execute("DROP INDEX idx_timestamp");
    let before = original_rows(&place.sql());
    let (webhook, api, websocket) = (place.webhook().start(), place.api().start(), place.websocket().start());
    platform::post(&webhook, &[click("wamid.1")]);
    assert_eq!(api.get("/api/webhook/events/recent").status, 200);
    assert_eq!(Client::join(&websocket).2["data"]["recent_events"].as_array().unwrap().len(), 10);
    eventually("the event waits", || {
        let health = webhook.get("/health").json();
        health["status"] == "degraded" && health["database"] == "unavailable"
    });
    for service in [webhook, api, websocket] {
        let said = service.end().to_lowercase();
        assert!(said.contains("newer") || said.contains("version"), "{said}");
    }
    assert_eq!(original_rows(&place.sql()), before);
    assert_eq!(place.value::<i64>("SELECT COUNT(*) FROM dogwatch_meta WHERE value = '999'"), 1);
    assert_eq!(place.value::<i64>("SELECT COUNT(*) FROM sqlite_master WHERE name = 'idx_timestamp'"), 0);
}

/// §2.5: repeats after restart: nothing, also when the first copy still waits in the spool
#[test]
fn what_waits_in_the_spool_is_known_after_a_restart() {
    let place = Place::bare();
    let without = || place.webhook().env("EVENTS_DB", "content.json/no.db");
    let webhook = without().start();
    platform::post(&webhook, &[click("wamid.1")]);
    webhook.end();
    let webhook = without().start();
    platform::post(&webhook, &[click("wamid.1")]);
    assert_eq!(webhook.get("/health").json()["messages"]["duplicates"], 1);
}
