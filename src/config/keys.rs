//! The keys of every table: those that work, and those that are decided but not built yet.
//!
//! A key whose work is not done is refused, so that no key ever lies; knowing its name keeps the refusal from
//! suggesting something else.

use super::suggest;

/// The keys of one table.
#[derive(Debug)]
pub(super) struct Keys {
    /// They work.
    pub accepted: &'static [&'static str],
    /// They will.
    pub later: &'static [&'static str],
    /// Other supervisors' words, and where the thing is here.
    pub elsewhere: &'static [(&'static str, &'static str)],
}

impl Keys {
    /// What to do about `key`, which is none of these.
    pub fn help(&self, key: &str) -> String {
        match self.elsewhere.iter().find(|(other, _)| *other == key) {
            Some((_, here)) => format!("here it is {here}"),
            None => suggest::did_you_mean(key, "key", self.accepted),
        }
    }
}

/// The top of the file.
pub(super) const FILE: Keys = Keys {
    accepted: &["dogwatch", "notifications", "compartments", "services", "sinks"],
    later: &["jobs", "hooks"],
    elsewhere: &[
        ("apps", "a table per service: [services.NAME]"),
        ("service", "[services.NAME]"),
        ("compartment", "[compartments.NAME]"),
        ("sink", "[sinks.NAME]"),
    ],
};

/// `[dogwatch]`.
pub(super) const DOGWATCH: Keys = Keys {
    accepted: &["listen", "log_dir", "log_budget", "log_reserve", "log_sinks"],
    later: &["group"],
    elsewhere: &[("port", "listen = \"127.0.0.1:PORT\"")],
};

/// `[notifications]`.
pub(super) const NOTIFICATIONS: Keys = Keys { accepted: &["command"], later: &[], elsewhere: &[] };

/// `[compartments.NAME]`.
pub(super) const COMPARTMENT: Keys = Keys {
    accepted: &["critical", "memory", "cpu_weight", "io_weight", "pids_max", "log_budget"],
    later: &[],
    elsewhere: &[],
};

/// `[services.NAME]`.
pub(super) const SERVICE: Keys = Keys {
    accepted: &[
        "compartment",
        "critical",
        "command",
        "shell",
        "cwd",
        "env",
        "env_file",
        "user",
        "after",
        "listen",
        "ready",
        "memory",
        "restart",
        "stop",
        "log",
        "dogwatch_access",
        "group",
        "umask",
        "nice",
        "ionice",
        "cpus",
        "no_new_privileges",
        "limits",
        "writable",
        "cpu_weight",
        "io_weight",
        "pids_max",
    ],
    later: &["health", "instances", "balance", "schedule", "timezone", "watch", "reload", "hooks"],
    elsewhere: &[
        ("script", "command = [\"program\", \"argument\"]"),
        ("args", "part of command = [\"program\", \"argument\"]"),
        ("cmd", "command = [\"program\", \"argument\"]"),
        ("exec", "command = [\"program\", \"argument\"]"),
        ("interpreter", "the first word of command"),
        ("environment", "env = { NAME = \"value\" }"),
        ("depends_on", "after = [\"NAME\"]"),
        ("namespace", "compartment"),
        ("port", "listen = [\"127.0.0.1:PORT\"]"),
        ("max_memory_restart", "memory = { limit = \"1G\" }"),
        ("autorestart", "restart = { policy = \"never\" }"),
        ("max_restarts", "restart = { give_up = N }"),
        ("restart_delay", "restart = { delay = \"1s\" }"),
        ("kill_timeout", "stop = { timeout = \"10s\" }"),
        ("wait_ready", "ready = \"notify\""),
        ("log_date_format", "log = { timestamps = \"inline\", date_format = \"YYYY-MM-DD HH:mm:ss\" }"),
        ("time", "log = { timestamps = \"inline\" }"),
        ("log_type", "log = { format = \"json\" }"),
        ("merge_logs", "log = { merge = true }, for standard output and standard error in one file"),
        ("nofile", "limits = { nofile = 4096 }"),
        ("nproc", "limits = { nproc = 200 }"),
        ("core", "limits = { core = \"0B\" }"),
        ("rotate_size", "log = { rotate_size = \"10MiB\" }"),
        ("rotate_every", "log = { rotate_every = \"1d\" }"),
        ("max_rate", "log = { max_rate = \"1000 lines/s\" }"),
        ("sinks", "log = { sinks = [\"file\", \"journald\"] }"),
        ("read_only", "writable = [\"FOLDER\"]: all else is read-only"),
    ],
};

/// `limits`.
pub(super) const LIMITS: Keys = Keys {
    accepted: &["nofile", "nproc", "core"],
    later: &[],
    elsewhere: &[
        ("open_files", "nofile"),
        ("processes", "nproc"),
        ("memory", "memory = \"300M\" of the service"),
    ],
};

/// `ready`.
pub(super) const READY: Keys = Keys {
    accepted: &["notify", "timeout", "alive"],
    later: &["http", "tcp", "log", "exec"],
    elsewhere: &[],
};

/// `memory`.
pub(super) const MEMORY: Keys =
    Keys { accepted: &["limit", "max"], later: &["high", "swap"], elsewhere: &[] };

/// `restart`.
pub(super) const RESTART: Keys = Keys {
    accepted: &["policy", "delay", "max_delay", "stable_after", "give_up"],
    later: &[],
    elsewhere: &[("max_restarts", "give_up = N"), ("min_uptime", "stable_after")],
};

/// `stop`.
pub(super) const STOP: Keys = Keys {
    accepted: &["signal", "timeout"],
    later: &["command", "exec"],
    elsewhere: &[("kill_timeout", "timeout")],
};

/// `log`.
pub(super) const LOG: Keys = Keys {
    accepted: &[
        "rotate_size",
        "rotate_every",
        "keep",
        "keep_for",
        "compress",
        "budget",
        "on_full",
        "max_rate",
        "timestamps",
        "date_format",
        "format",
        "merge",
        "sinks",
    ],
    later: &["sync", "fifo"],
    elsewhere: &[
        ("log_date_format", "timestamps = \"inline\", date_format = \"YYYY-MM-DD HH:mm:ss\""),
        ("time", "timestamps = \"inline\""),
        ("log_type", "format = \"json\""),
        ("merge_logs", "merge = true, for standard output and standard error in one file"),
        ("max_size", "rotate_size"),
        ("rotateInterval", "rotate_every"),
        ("retain", "keep"),
        ("max_age", "keep_for"),
        ("rate_limit", "max_rate"),
        ("driver", "sinks = [\"file\", \"journald\"]"),
    ],
};

/// `[sinks.NAME]` of a kind that nobody knows.
pub(super) const SINK: Keys = Keys {
    accepted: &["kind", "address", "facility", "max_message", "format"],
    later: &["tls"],
    elsewhere: &[("type", "kind"), ("socket", "address"), ("host", "address"), ("url", "address")],
};

/// `[sinks.NAME]` of syslog.
pub(super) const SINK_SYSLOG: Keys = Keys {
    accepted: &["kind", "address", "facility", "max_message"],
    later: &["tls"],
    elsewhere: &[("type", "kind"), ("host", "address"), ("port", "part of address"), ("url", "address")],
};

/// `[sinks.NAME]` of journald.
pub(super) const SINK_JOURNALD: Keys = Keys {
    accepted: &["kind", "address"],
    later: &[],
    elsewhere: &[("type", "kind"), ("socket", "address = \"unix:/PATH\"")],
};

/// `[sinks.NAME]` of stdout.
pub(super) const SINK_STDOUT: Keys =
    Keys { accepted: &["kind", "format"], later: &[], elsewhere: &[("type", "kind")] };
