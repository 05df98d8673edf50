//! What of pm2's command line is not there yet, and what to type meanwhile.

/// pm2's other commands by what they are about: each with all its names, and what serves instead, if anything.
/// `docs/from-pm2.md` lists them, too.
pub const COMMANDS: [(&[&str], &str); 18] = [
    (&["delete", "del"], "stop it, then remove its entry from ecosystem.toml"),
    (
        &["save", "dump", "cleardump"],
        "not needed: a boot starts what was up and leaves down what was stopped",
    ),
    (&["resurrect"], "use `dogwatch up -d`: it starts all services of ecosystem.toml"),
    (&["startup", "unstartup"], "use `systemctl enable dogwatch`"),
    (&["kill"], "use `dogwatch down`"),
    (&["update", "updatePM2", "deepUpdate"], "restart the control plane: no service notices"),
    (&["monit", "dashboard", "dash", "imonit"], "use `pm2 list` and `pm2 logs`"),
    (&["env"], "`dogwatch show NAME` names a service's variables, without the values"),
    (&["prettylist", "slist", "sysinfos", "report"], "use `pm2 jlist` or `dogwatch status --json`"),
    (&["reset", "scale", "sendSignal", "send", "attach", "trigger", "inspect"], ""),
    (
        &["logrotate"],
        "not needed: dogwatch rotates logs itself; who rotates them otherwise calls `pm2 reloadLogs`",
    ),
    (
        &["startOrRestart", "startOrReload", "startOrGracefulReload"],
        "use `pm2 start FILE`, `pm2 restart NAME` or `pm2 reload NAME`",
    ),
    (&["ecosystem", "init", "examples", "create"], "use `dogwatch init`"),
    (&["serve", "expose", "autoinstall"], "name a web server in ecosystem.toml"),
    (&["set", "get", "unset", "conf", "config", "multiset"], "all settings are in ecosystem.toml"),
    (
        &[
            "install",
            "uninstall",
            "module:install",
            "module:uninstall",
            "module:update",
            "module:generate",
            "module:publish",
            "package",
            "publish",
            "install-otel",
            "uninstall-otel",
        ],
        "there are no modules",
    ),
    (&["completion", "profile:mem", "profile:cpu", "deploy", "pull", "forward", "backward"], ""),
    (
        &["link", "unlink", "plus", "register", "login", "logout", "open", "monitor", "unmonitor"],
        "nothing is sent anywhere",
    ),
];

/// What is said about a command that is none here.
pub fn command(word: &str) -> String {
    let known = COMMANDS.iter().find(|(names, _)| names.contains(&word));
    let word = word.escape_debug();
    match known {
        Some((_, "")) => format!("pm2 {word}: not there yet in dogwatch; what there is: pm2 help"),
        Some((_, instead)) => format!("pm2 {word}: not there yet in dogwatch\n  {instead}"),
        None => format!("pm2 {word}: there is no such command; what there is: pm2 help"),
    }
}

/// What is said about an option or a form of a command that is there.
pub fn form(command: &str, word: &str) -> String {
    format!("pm2 {command} {}: not there yet in dogwatch; what there is: pm2 help", word.escape_debug())
}

/// The answer to `pm2 help`.
pub fn help() -> String {
    let later: Vec<&str> = COMMANDS.iter().map(|(names, _)| names[0]).collect();
    format!("{HELP}\nNot there yet: {}, …\n", later.join(", "))
}

const HELP: &str = "\
pm2's words, answered by dogwatch. NAME is a service of ecosystem.toml, its id, its compartment,
all, or /REGEX/ for all whose name matches.

  pm2 start NAME…            start and wait until it is up; one that runs is left alone
      --max-memory-restart SIZE  give it another memory limit, without a restart
  pm2 start FILE             start what a pm2 ecosystem file names, from ecosystem.toml, with its memory limits
      --only A,B                 these of it
  pm2 stop NAME…             stop and wait until it has stopped
  pm2 restart NAME…          restart it as ecosystem.toml and its env_file have it now
  pm2 reload NAME…           the same without a gap, where it has `listen`
  pm2 list                   all services (also: ls, l, ps, status)
  pm2 show NAME              all about one (also: describe, desc, info)
  pm2 logs [NAME]            the latest lines, then what comes
      --lines N  --nostream  --raw  --out  --err  --json  --format
      --timestamp [FORMAT]  --highlight TEXT
  pm2 flush [NAME…]          archive and empty the log files
  pm2 reloadLogs             open log files again that another tool has moved away
  pm2 jlist | pid [NAME] | id NAME | ping
  -s, --silent               say nothing, but answer

dogwatch's own commands: dogwatch help
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_those_who_come_from_pm2_lists_them() {
        let page = include_str!("../../../docs/from-pm2.md");
        for word in COMMANDS.iter().flat_map(|(names, _)| names.iter()) {
            assert!(page.contains(&format!("`{word}`")), "docs/from-pm2.md does not list `{word}`");
        }
    }

    #[test]
    fn says_what_to_type_instead() {
        assert_eq!(command("kill"), "pm2 kill: not there yet in dogwatch\n  use `dogwatch down`");
        assert_eq!(command("scale"), "pm2 scale: not there yet in dogwatch; what there is: pm2 help");
        assert_eq!(command("lsit"), "pm2 lsit: there is no such command; what there is: pm2 help");
    }
}
