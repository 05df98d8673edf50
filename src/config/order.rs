//! In which order services start: those named in `after` first, otherwise as they stand in the file.

/// The order, as positions in `after`; or every ring of services that wait for each other.
///
/// `after[i]` holds the positions that `i` waits for.
pub(super) fn start_order(after: &[Vec<usize>]) -> Result<Vec<usize>, Vec<Vec<usize>>> {
    let mut order = Vec::with_capacity(after.len());
    let mut done = vec![false; after.len()];
    let mut rings = Vec::new();
    loop {
        let ready = |i: &usize| !done[*i] && after[*i].iter().all(|first| done[*first]);
        if let Some(next) = (0..after.len()).find(ready) {
            done[next] = true;
            order.push(next);
            continue;
        }
        let Some(start) = done.iter().position(|done| !done) else {
            break;
        };
        let ring = ring(after, &done, start);
        // Let the ring pass: there may be another one behind it.
        for member in &ring {
            done[*member] = true;
        }
        rings.push(ring);
    }
    match rings.is_empty() {
        true => Ok(order),
        false => Err(rings),
    }
}

/// Follows `after` from `start`, where nothing can start, until it meets itself.
fn ring(after: &[Vec<usize>], done: &[bool], start: usize) -> Vec<usize> {
    let mut path = vec![start];
    loop {
        let last = path[path.len() - 1];
        let next = after[last].iter().copied().find(|next| !done[*next]);
        let next = next.expect("a service that cannot start waits for one that is not done");
        if let Some(begin) = path.iter().position(|member| *member == next) {
            let mut ring = path.split_off(begin);
            let first = ring.iter().enumerate().min_by_key(|(_, member)| **member);
            let first = first.map_or(0, |(index, _)| index);
            ring.rotate_left(first);
            return ring;
        }
        path.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        let table: [(&[&[usize]], &[usize]); 5] = [
            (&[], &[]),
            (&[&[], &[], &[]], &[0, 1, 2]),
            (&[&[2], &[], &[]], &[1, 2, 0]),
            (&[&[1, 2], &[2], &[]], &[2, 1, 0]),
            (&[&[], &[3], &[0], &[0]], &[0, 2, 3, 1]),
        ];
        for (after, expected) in table {
            let after: Vec<Vec<usize>> = after.iter().map(|list| list.to_vec()).collect();
            assert_eq!(start_order(&after).unwrap(), expected, "{after:?}");
        }
    }

    #[test]
    fn finds_every_ring() {
        let after = [vec![1], vec![2], vec![0], vec![3], vec![0], vec![6], vec![5, 0]];
        assert_eq!(start_order(&after), Err(vec![vec![0, 1, 2], vec![3], vec![5, 6]]));
    }

    proptest::proptest! {
        #[test]
        fn every_service_comes_once_and_after_those_it_waits_for(
            edges in proptest::collection::vec((0usize..12, 0usize..12), 0..30)
        ) {
            let mut after = vec![Vec::new(); 12];
            for (from, to) in edges {
                after[from].push(to);
            }
            if let Ok(order) = start_order(&after) {
                let mut place = [usize::MAX; 12];
                for (at, service) in order.iter().enumerate() {
                    place[*service] = at;
                }
                assert_eq!(order.len(), 12);
                for (service, first) in after.iter().enumerate() {
                    assert!(first.iter().all(|first| place[*first] < place[service]));
                }
            }
        }
    }
}
