//! §3.9: what the supervisor shows through the API.

use conformance::Place;

/// §3.9: /api/services without a reachable supervisor: 503
#[test]
fn without_a_supervisor_services_are_503() {
    let place = Place::lived_in();
    let api = place.api().start();
    let answer = api.get("/api/services");
    assert_eq!((answer.status, &answer.json()["success"]), (503, &false.into()));
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
}

/// §3.9: read-only: starting and stopping stays with the command line
#[test]
fn services_are_read_only() {
    let place = Place::lived_in();
    let api = place.api().start();
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(api.ask(method, "/api/services", &[]).status, 405, "{method}");
    }
}
