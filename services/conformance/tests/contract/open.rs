//! What the services do not do yet. A test moves to its section with the commit that makes it pass.

use conformance::Place;
use conformance::platform::{self, click};

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
