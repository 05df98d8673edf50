//! What is shipped is right: the ecosystem.toml of this repository and every example of the manual.

use super::super::keys;
use super::Folder;
use crate::model::spec::{Access, Ready};

const MANUAL: &str = include_str!("../../../docs/config.md");
const SHIPPED: &str = include_str!("../../../ecosystem.toml");

#[test]
fn the_ecosystem_of_this_repository() {
    let folder = Folder::with(SHIPPED);
    folder.write(".env", "WHATSAPP_APP_SECRET=x\n");
    let ecosystem = folder.load().unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let line = |name: &str| {
        let spec = ecosystem.service(name).unwrap();
        assert!(matches!(spec.ready, Ready::Notify { .. }));
        assert_eq!(spec.env["WHATSAPP_APP_SECRET"], "x");
        let program = spec.command[0].rsplit('/').next().unwrap().to_owned();
        let limit = spec.memory.unwrap().limit >> 20;
        (spec.listen[0].port(), spec.compartment.clone(), spec.critical, program, limit)
    };
    let expected = |port, compartment: &str, critical, program: &str, limit| {
        (port, compartment.to_owned(), critical, program.to_owned(), limit)
    };
    assert_eq!(line("webhook-button-handler"), expected(3000, "production", true, "webhook", 256));
    assert_eq!(line("dashboard-api-server"), expected(3002, "dashboard", false, "dashboard-api", 1024));
    assert_eq!(line("websocket-server"), expected(3001, "dashboard", false, "websocket", 512));
    assert_eq!(ecosystem.services.len(), 3);
    let viewers = ecosystem.services.iter().filter(|spec| spec.access == Access::View);
    assert_eq!(viewers.map(|spec| spec.name.as_str()).collect::<Vec<_>>(), ["dashboard-api-server"]);
}

#[test]
fn every_example_of_the_manual_is_accepted() {
    let mut examples = 0;
    for block in MANUAL.split("```toml\n").skip(1) {
        let (block, _) = block.split_once("```").unwrap();
        let text = match (block.contains("[services."), block.starts_with('[')) {
            (true, _) => block.to_owned(),
            (false, true) => format!("{block}\n[services.web]\ncommand = [\"./app\"]\n"),
            (false, false) => format!("[services.web]\n{block}"),
        };
        let folder = Folder::with(&text);
        folder.write(".env", "");
        folder.write("local.env", "");
        assert!(folder.load().is_ok(), "{text}\n{}", folder.mistakes());
        examples += 1;
    }
    assert!(examples >= 10);
}

#[test]
fn every_key_stands_in_the_manual_and_no_other() {
    let tables = [
        (&keys::DOGWATCH, "## `[dogwatch]`"),
        (&keys::COMPARTMENT, "## `[compartments.NAME]`"),
        (&keys::SERVICE, "## `[services.NAME]`"),
        (&keys::MEMORY, "### `memory`"),
        (&keys::RESTART, "### `restart`"),
        (&keys::STOP, "### `stop`"),
        (&keys::LOG, "### `log`"),
        (&keys::SINK, "## `[sinks.NAME]`"),
    ];
    for (keys, title) in tables {
        let (_, section) = MANUAL.split_once(&format!("\n{title}\n")).unwrap_or_else(|| panic!("{title}"));
        let section = section.split("\n#").next().unwrap();
        let mut documented: Vec<&str> =
            section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        let mut accepted = keys.accepted.to_vec();
        documented.sort_unstable();
        accepted.sort_unstable();
        assert_eq!(documented, accepted, "{title}");
    }
}
