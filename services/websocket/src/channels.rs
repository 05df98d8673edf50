//! What a client wants to see.

use events::Kind;

/// A set of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Channels(u8);

impl Channels {
    pub(crate) const METRICS: Self = Self(1 << 5);
    /// Single typed frames, beside the lists of new events; only for who asks for them.
    pub(crate) const NOTIFICATIONS: Self = Self(1 << 6);
    /// Events of a kind that this program does not know.
    const OTHERS: Self = Self(1 << 7);
    const NONE: Self = Self(0);
    /// All but the notifications.
    pub(crate) const ALL: Self = Self(!Self::NOTIFICATIONS.0);

    /// The channel that events of this kind come in.
    pub(crate) fn of_event(event_type: &str) -> Self {
        Kind::ALL
            .iter()
            .position(|kind| kind.as_str() == event_type)
            .map_or(Self::OTHERS, |bit| Self(1 << bit))
    }

    /// The channel of this name, in the singular or the plural.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Self::ALL,
            "metrics" => Self::METRICS,
            "notification" | "notifications" => Self::NOTIFICATIONS,
            "button_click" | "button_clicks" => Self::of_event("button_click"),
            "text_message" | "text_messages" => Self::of_event("text_message"),
            "content_delivery" | "content_deliveries" => Self::of_event("content_delivery"),
            "message_status" | "message_statuses" => Self::of_event("message_status"),
            "other_message" | "other_messages" => Self::of_event("other_message"),
            _ => return None,
        })
    }

    /// The channels of these names, and the names that nobody knows.
    pub(crate) fn named_all(names: &[String]) -> (Self, Vec<String>) {
        let mut channels = Self::NONE;
        let mut unknown = Vec::new();
        for name in names {
            match Self::named(name) {
                Some(channel) => channels = channels.and(channel),
                None => unknown.push(name.clone()),
            }
        }
        (channels, unknown)
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Is any of `other` in this set?
    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::Channels;

    #[test]
    fn names_in_both_numbers() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (channels, unknown) =
            Channels::named_all(&names(&["button_clicks", "content_delivery", "other"]));
        assert!(
            channels.has(Channels::of_event("button_click"))
                && channels.has(Channels::of_event("content_delivery"))
        );
        assert!(!channels.has(Channels::of_event("text_message")) && !channels.has(Channels::METRICS));
        assert_eq!(unknown, ["other"]);
        let (all, _) = Channels::named_all(&names(&["all"]));
        assert!(all.has(Channels::METRICS) && all.has(Channels::of_event("from_elsewhere")));
        assert!(!all.has(Channels::NOTIFICATIONS));
    }
}
