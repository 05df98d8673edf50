//! Users and groups, read from /etc/passwd and /etc/group directly: the static binary has no NSS.

use std::fs;

use super::spawn::Ids;

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Home folder.
    pub home: String,
    /// The numbers.
    pub ids: Ids,
}

/// The number that means "leave as it is" where one is set (setresuid(2)): nobody has it.
const NOBODY_AT_ALL: u32 = u32::MAX;

/// Finds a user by name or number. A number without an entry is a user too, with the group of that number.
///
/// # Errors
/// A lowercase fragment that says what is missing.
pub fn find(user: &str) -> Result<User, String> {
    let passwd = fs::read_to_string("/etc/passwd").map_err(|error| format!("read /etc/passwd: {error}"))?;
    let group = fs::read_to_string("/etc/group").unwrap_or_default();
    find_in(user, &passwd, &group).ok_or_else(|| "no such user in /etc/passwd".to_owned())
}

/// Finds a group by name or number; a number without an entry is a group too.
///
/// # Errors
/// A lowercase fragment that says what is missing.
pub fn find_group(group: &str) -> Result<u32, String> {
    let table = fs::read_to_string("/etc/group").map_err(|error| format!("read /etc/group: {error}"))?;
    let named = table
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.len() >= 3 && fields[0] == group);
    let number = named.map_or(group, |fields| fields[2]);
    let number = number.parse().ok().filter(|gid| *gid != NOBODY_AT_ALL);
    number.ok_or_else(|| "no such group in /etc/group".to_owned())
}

/// The login name of a number, if it has one.
pub fn name_of(uid: u32) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    Some(find_in(&uid.to_string(), &passwd, "")?.name)
}

fn find_in(user: &str, passwd: &str, group: &str) -> Option<User> {
    let number = user.parse::<u32>().ok().filter(|uid| *uid != NOBODY_AT_ALL);
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.len() >= 6 && (fields[0] == user || number.is_some_and(|uid| fields[2] == uid.to_string()))
    });
    let Some(fields) = entry else {
        let uid = number?;
        let ids = Ids { uid, gid: uid, groups: vec![uid] };
        return Some(User { name: user.to_owned(), home: "/".to_owned(), ids });
    };
    let (name, gid) = (fields[0], fields[3].parse().ok()?);
    let mut groups = vec![gid];
    for fields in group.lines().map(|line| line.split(':').collect::<Vec<_>>()) {
        if fields.len() >= 4 && fields[3].split(',').any(|member| member == name) {
            groups.extend(fields[2].parse::<u32>().ok().filter(|gid| !groups.contains(gid)));
        }
    }
    let ids = Ids { uid: fields[2].parse().ok()?, gid, groups };
    Some(User { name: name.to_owned(), home: fields[5].to_owned(), ids })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_by_number_and_with_groups() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:w:/srv/web:/bin/false\nbroken\n";
        let group = "root:x:0:\nweb:x:33:\nadm:x:4:web,root\nssl:x:90:web\n";
        let web = find_in("web", passwd, group).unwrap();
        assert_eq!(web.ids, Ids { uid: 33, gid: 33, groups: vec![33, 4, 90] });
        assert_eq!(find_in("33", passwd, group).unwrap().name, "web");
        assert_eq!(find_in("4711", passwd, group).unwrap().ids.uid, 4711);
        assert_eq!(find_in("nobody-here", passwd, group), None);
        assert_eq!(find_in("4294967295", passwd, group), None);
        assert!(find_group("4294967295").is_err());
    }
}
