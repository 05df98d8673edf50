//! The control plane becomes a newer program: the same process, which a service manager does not notice.
//!
//! Orders under way are carried out first. The doors of the API stay open all the while: who comes in between waits in
//! the socket's queue until the new program answers.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::time::timeout;

use super::api::error::Refused;
use super::plane::Plane;
use super::say::say;
use super::{orders, own_log};
use crate::holder::Holdings;
use crate::os::exec::{Exec, exec};
use crate::os::fault;
use crate::os::lock::Lock;
use crate::wire::environment::{LOCK_FD, ORPHANS};

/// Orders that take longer than this are cut off; whoever gave them asks the keepers.
const ORDERS: Duration = Duration::from_secs(10);

/// Takes the order to become that program; returns when it is about to be carried out.
///
/// # Errors
/// Dogwatch is going down; there is no such program.
pub async fn ask(plane: &Arc<Plane>, program: PathBuf) -> Result<(), Refused> {
    orders::refuse_when_going_down(plane)?;
    if !program.is_absolute() || !program.is_file() {
        let shown = program.display();
        return Err(Refused::new(StatusCode::BAD_REQUEST, format!("{shown} is not the path of a program")));
    }
    let mut bell = plane.roster.subscribe();
    let idle = async { while plane.is_busy() && bell.changed().await.is_ok() {} };
    if timeout(ORDERS, idle).await.is_err() {
        say("becoming another program although orders are still under way");
    }
    orders::refuse_when_going_down(plane)?;
    plane.exec(program);
    Ok(())
}

/// Becomes the program that was asked for. Returns only if that is impossible: the state to go on with.
pub fn become_program(plane: &Plane, lock: &Lock, program: PathBuf) -> Plane {
    fault::point("the control plane before exec");
    plane.forwarder.dismiss();
    let _quiet = own_log::pause();
    let error = plane.with_holdings(|holdings| {
        let doors = plane.doors();
        let mut inherit = vec![(LOCK_FD.to_owned(), lock.as_fd())];
        inherit.extend(doors.iter().map(|(name, fd)| ((*name).to_owned(), fd.as_fd())));
        inherit.extend(holdings.all());
        let args = std::env::args_os().skip(1).collect();
        exec(Exec { program: &program, args, inherit, memo: vec![(ORPHANS, plane.orphans_memo())] })
    });
    let text = format!("cannot become {}: {error}", program.display());
    say(&text);
    let again = plane.again(plane.with_holdings(std::mem::take::<Holdings>));
    again.problem("exec", Some(text));
    again
}
