//! A drill of the dogwatch that runs the machine's services: which service, and what is asked of it.

use super::probe;
use super::target::{HEALTH, Target, choose};
use crate::cli::args::Drill as Options;
use crate::cli::ask;
use crate::cli::fail::{Failure, Outcome};
use crate::cli::here::Here;
use crate::exit_code;
use crate::model::name::ServiceName;
use crate::wire::status::ServiceStatus;

/// What is probed, and whose keeper is another's.
#[derive(Debug)]
pub struct Live {
    /// The service that is probed; none if the address is that of no service here.
    pub service: Option<ServiceName>,
    /// Another one that runs.
    pub other: Option<ServiceName>,
    /// What is asked for.
    pub target: Target,
}

/// Finds them.
///
/// # Errors
/// Nothing runs here; there is no such service; it is not told what to ask for.
pub fn find(here: &Here, options: &Options) -> Outcome<Live> {
    let services = ask::services_now(here)?.services;
    let url = options.url.as_deref().map(Target::parse).transpose()?;
    let chosen = choose(&services, options.name.as_deref(), url.as_ref())?;
    let target = match url {
        Some(url) => url,
        None => target_of(chosen)?,
    };
    let is_chosen = |service: &&ServiceStatus| chosen.is_some_and(|chosen| chosen.name == service.name);
    let other = services.iter().find(|service| service.pid.is_some() && !is_chosen(service));
    Ok(Live {
        service: chosen.map(|service| service.name.clone()),
        other: other.map(|service| service.name.clone()),
        target,
    })
}

/// The service's health, or its front page if it has no such path.
fn target_of(chosen: Option<&ServiceStatus>) -> Outcome<Target> {
    let Some((service, listens)) = chosen.and_then(|service| Some((service, *service.listen.first()?)))
    else {
        let what = match chosen {
            Some(service) => format!("dogwatch holds no socket for {}", service.name),
            None => "dogwatch holds no socket for any service here".to_owned(),
        };
        return Err(Failure::new(exit_code::USAGE, format!("{what}: what shall be asked for?"))
            .hint("dogwatch drill --url http://127.0.0.1:PORT/PATH, or: dogwatch drill --scratch"));
    };
    let health = Target::of_listener(listens, HEALTH);
    let front = Target::of_listener(listens, "/");
    match (probe::once(&health), probe::once(&front)) {
        (Ok(_), _) => Ok(health),
        (Err(_), Ok(_)) => Ok(front),
        (Err(miss), Err(_)) => Err(Failure::failed(format!("{health} of {} is {miss}", service.name))
            .hint("name what it answers: dogwatch drill --url http://127.0.0.1:PORT/PATH")),
    }
}
