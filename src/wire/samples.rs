//! What version 1 wrote and said, read for ever. A change that breaks one of these tests would lose a running service in
//! an upgrade: give the new field a default, or raise the version and read both.

use std::fmt::Debug;

use serde::de::DeserializeOwned;

use super::keeper::{Op, Reply, Request};
use super::spec::SpecFile;
use super::upgrade::{Journal, SelfCheck};
use super::{goal, warden};
use crate::model::phase::Goal;
use crate::model::spec::{LOG_BUDGET, OnFull, Ready, RestartWhen};

fn lines<T: DeserializeOwned + Debug>(text: &str) -> Vec<T> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

#[test]
fn specs() {
    let whole = SpecFile::decode(include_bytes!("../../tests/fixtures/spec-v1.json")).unwrap();
    let spec = &whole.spec;
    assert!(whole.limit_overridden && spec.critical && spec.memory.is_some());
    assert_eq!((spec.after.len(), spec.listen.len(), spec.restart.give_up), (1, 2, Some(7)));
    assert_eq!(spec.restart.policy, RestartWhen::OnFailure);
    assert!(matches!(spec.ready, Ready::Notify { .. }));
    let least = SpecFile::decode(include_bytes!("../../tests/fixtures/spec-v1-least.json")).unwrap();
    assert!(!least.limit_overridden && least.spec.after.is_empty() && least.spec.memory.is_none());
    assert!(matches!(least.spec.ready, Ready::Alive { .. }));
    // Logs had no more rules than these.
    assert_eq!((whole.spec.log_policy().on_full, whole.spec.log.budget), (Some(OnFull::Drop), LOG_BUDGET));
    assert_eq!((least.spec.log_policy().on_full, &least.spec.log.rotate_every), (Some(OnFull::Block), &None));
}

#[test]
fn goals() {
    assert_eq!(goal::decode(include_bytes!("../../tests/fixtures/goal-v1")), Some((5, Goal::Down)));
}

#[test]
fn what_keepers_are_asked_and_answer() {
    let requests: Vec<Request> = lines(include_str!("../../tests/fixtures/keeper-requests-v1.jsonl"));
    assert_eq!(requests.len(), 15);
    assert_eq!(requests[10], Request::new(Op::Orphan { pid: 4711, status: 256 }));
    // What is asked now is asked as version 1 asked it.
    assert!(requests.into_iter().all(|request| Request::new(request.op.clone()) == request));
    let replies: Vec<Reply> = lines(include_str!("../../tests/fixtures/keeper-replies-v1.jsonl"));
    assert!(
        matches!(&replies[0], Reply::Status(status) if status.run == 3 && status.keeper_version.is_none())
    );
    assert_eq!(replies[1], Reply::done(3));
    assert!(matches!(&replies[8], Reply::Done { note: Some(_), .. }));
}

#[test]
fn what_the_warden_is_asked_and_answers() {
    let requests: Vec<warden::Request> = lines(include_str!("../../tests/fixtures/warden-requests-v1.jsonl"));
    assert_eq!((requests.len(), &requests[0]), (5, &warden::Request::Ping));
    let replies: Vec<warden::Reply> = lines(include_str!("../../tests/fixtures/warden-replies-v1.jsonl"));
    assert!(matches!(&replies[1], warden::Reply::Keepers { warden: 812, keepers, .. } if keepers.len() == 1));
}

#[test]
fn what_upgrades_leave_and_say() {
    let journal: Vec<Journal> = lines(include_str!("../../tests/fixtures/journal-v1.json"));
    assert_eq!(journal[0].previous.to_str(), Some("/usr/bin/dogwatch.prev"));
    let check: Vec<SelfCheck> = lines(include_str!("../../tests/fixtures/selfcheck-v1.json"));
    assert_eq!((check[0].speaks, check[0].services), (1, 3));
}
