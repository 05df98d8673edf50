//! Who may ask for content.

use std::collections::HashSet;

/// No number is longer, nor an id of a person who hides the number.
const MAX_LENGTH: usize = 64;

/// The people of WHATSAPP_RECIPIENTS. Nobody, if it is empty.
#[derive(Debug, Default)]
pub(crate) struct Recipients(HashSet<String>);

impl Recipients {
    /// Takes the parts of the list.
    ///
    /// # Errors
    /// One sentence for each part that is no number, by its place in the list: numbers are not shown.
    pub(crate) fn parse(parts: &[String]) -> Result<Self, Vec<String>> {
        let (mut known, mut mistakes) = (HashSet::new(), Vec::new());
        for (index, part) in parts.iter().enumerate() {
            let number = normal(part);
            let is_fine = (1..=MAX_LENGTH).contains(&number.len())
                && number.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
            if is_fine {
                known.insert(number);
            } else {
                mistakes.push(format!("number {} holds something else than digits", index + 1));
            }
        }
        if mistakes.is_empty() { Ok(Self(known)) } else { Err(mistakes) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The recipient who wrote, in the form that the platform takes.
    pub(crate) fn find(&self, sender: &str) -> Option<&str> {
        self.0.get(&normal(sender)).map(String::as_str)
    }
}

/// People write `+1 555-010-0001`; the platform says `15550100001`.
fn normal(number: &str) -> String {
    number.chars().filter(|c| !matches!(c, '+' | '-') && !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::Recipients;

    fn recipients(list: &[&str]) -> Result<Recipients, Vec<String>> {
        Recipients::parse(&list.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_number_is_known_however_it_is_written() {
        let known = recipients(&["+1 555-010-0001", "US.1349"]).expect("two people");
        for written in ["15550100001", "+15550100001", "1-555-0100 001"] {
            assert_eq!(known.find(written), Some("15550100001"), "{written}");
        }
        assert_eq!(known.find("US.1349"), Some("US.1349"));
        for other in ["5550100001", "155501000010", "", "us.1349"] {
            assert_eq!(known.find(other), None, "{other}");
        }
        assert_eq!(Recipients::default().find("15550100001"), None);
    }

    #[test]
    fn what_is_no_number_is_named_by_its_place() {
        let told = recipients(&["15550100001", "(1555) 0100002", "+"]).expect_err("two mistakes");
        assert_eq!(told.len(), 2);
        assert!(told[0].starts_with("number 2 ") && told[1].starts_with("number 3 "), "{told:?}");
        assert!(!told.join("").contains("0100002"));
    }
}
