//! Which of several sources is next: the one whose line is the oldest, but a line that is begun is finished first.

/// The next line of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What it is ordered by.
    pub key: u64,
    /// It ends a line.
    pub ends: bool,
}

/// The order of sources; of lines of the same time, the first source's come first.
#[derive(Debug, Default)]
pub struct Order {
    /// The source whose line has begun and not ended.
    inside: Option<usize>,
}

impl Order {
    /// The source whose head is next, if any has one. One that is in the middle of a line and has no more, now, keeps
    /// nobody waiting.
    pub fn next(&mut self, heads: impl Iterator<Item = Option<Head>> + Clone) -> Option<usize> {
        let inside = self.inside.filter(|source| heads.clone().nth(*source).flatten().is_some());
        let oldest = || {
            let known = heads.clone().enumerate().filter_map(|(source, head)| Some((head?.key, source)));
            known.min().map(|(_, source)| source)
        };
        let next = inside.or_else(oldest)?;
        let ends = heads.clone().nth(next).flatten().is_none_or(|head| head.ends);
        self.inside = (!ends).then_some(next);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(key: u64, ends: bool) -> Option<Head> {
        Some(Head { key, ends })
    }

    #[test]
    fn the_oldest_first_and_a_line_in_one_piece() {
        let mut order = Order::default();
        let mut next = |heads: &[Option<Head>]| order.next(heads.iter().copied());
        assert_eq!(next(&[]), None);
        assert_eq!(next(&[None, head(5, true)]), Some(1));
        assert_eq!(next(&[head(5, true), head(5, true)]), Some(0));
        assert_eq!(next(&[head(9, true), head(5, false)]), Some(1));
        assert_eq!(next(&[head(1, true), head(5, false)]), Some(1), "the rest of the line");
        assert_eq!(next(&[head(1, true), head(5, true)]), Some(1), "its end");
        assert_eq!(next(&[head(1, false), head(5, true)]), Some(0));
        assert_eq!(next(&[None, head(5, true)]), Some(1), "there is no more of the line, now");
    }

    proptest! {
        #[test]
        fn the_outcome_is_sorted(lists in prop::collection::vec(prop::collection::vec(0_u64..20, 0..12), 0..5)) {
            let mut lists = lists;
            lists.iter_mut().for_each(|list| list.sort_unstable());
            let mut expected: Vec<(u64, usize)> =
                lists.iter().enumerate().flat_map(|(n, list)| list.iter().map(move |key| (*key, n))).collect();
            expected.sort_unstable();
            let mut order = Order::default();
            let mut at = vec![0; lists.len()];
            let mut found = Vec::new();
            while let Some(next) = {
                let heads: Vec<_> = lists.iter().zip(&at).map(|(list, at)| head(*list.get(*at)?, true)).collect();
                order.next(heads.iter().copied())
            } {
                found.push((lists[next][at[next]], next));
                at[next] += 1;
            }
            prop_assert_eq!(found, expected);
        }
    }
}
