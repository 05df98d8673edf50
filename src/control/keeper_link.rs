//! Two connections to every keeper: one that says what the service does, one that hands over what must stay
//! open. When a keeper is replaced they are made anew.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::link::Link;
use super::plane::Plane;
use super::say::say;
use crate::model::name::ServiceName;
use crate::os::clock;
use crate::wire::VERSION;
use crate::wire::keeper::{Op, Reply, Request};

/// A replaced keeper is back in a few milliseconds, so the first looks follow each other quickly.
const FIRST_DELAY: Duration = Duration::from_millis(2);
/// One that stays away is looked for twice a second.
const LAST_DELAY: Duration = Duration::from_millis(500);

/// Follows a service from now on; once is enough.
pub fn follow(plane: &Arc<Plane>, name: &ServiceName) {
    if plane.begin_following(name) {
        for op in [Op::Watch, Op::Hold] {
            tokio::spawn(stay_connected(Arc::clone(plane), name.clone(), op));
        }
    }
}

/// Ends when the service's folder is gone.
async fn stay_connected(plane: Arc<Plane>, name: ServiceName, op: Op) {
    let paths = plane.paths.service(&name);
    let socket = paths.keeper_sock();
    let mut delay = FIRST_DELAY;
    loop {
        let mut heard = false;
        if let Err(error) = converse(&plane, &name, &op, &socket, &mut heard).await {
            let away = [
                io::ErrorKind::NotFound,
                io::ErrorKind::ConnectionRefused,
                io::ErrorKind::ConnectionReset,
                io::ErrorKind::BrokenPipe,
            ];
            if !away.contains(&error.kind()) {
                say(format_args!("{name}: connection to its keeper: {error}"));
            }
        }
        if op == Op::Watch {
            plane.roster.lost(&name);
        }
        if !paths.dir.exists() {
            plane.end_following(&name);
            return;
        }
        if heard {
            delay = FIRST_DELAY;
        }
        sleep(delay).await;
        delay = (delay * 2).min(LAST_DELAY);
    }
}

/// Until the keeper closes.
async fn converse(
    plane: &Plane,
    name: &ServiceName,
    op: &Op,
    socket: &Path,
    heard: &mut bool,
) -> io::Result<()> {
    let link = Link::connect(socket)?;
    let request = |op| Request { v: VERSION, op };
    link.send(&request(op.clone())).await?;
    while let Some(packet) = link.receive().await? {
        *heard = true;
        match serde_json::from_slice(&packet.bytes)? {
            Reply::Status(status) if status.name == *name => plane.roster.heard(*status, clock::mono()),
            Reply::WhatOf { pid } => {
                if let Some(ended) = plane.orphan(pid) {
                    let status = ended.status;
                    link.send(&request(Op::Orphan { pid, status })).await?;
                }
            }
            Reply::Error { message } => say(format_args!("{name}: its keeper says: {message}")),
            other => plane.with_holdings(|holdings| holdings.apply(name, other, packet.fds)),
        }
    }
    Ok(())
}
