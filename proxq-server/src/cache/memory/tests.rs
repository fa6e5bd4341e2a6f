use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::cache::key::key;
use crate::config::KeyExclusions;
use crate::job::JobRequest;

const LONG: Duration = Duration::from_hours(1);

fn numbered(number: u8) -> Key {
    key(&JobRequest::sample(), &[number; 32], &KeyExclusions::default())
}

fn bytes(count: usize) -> Bytes {
    vec![0; count].into()
}

#[test]
fn a_record_is_given_as_it_was_put_and_not_copied() {
    let cache = MemoryCache::new(10, 1000, LONG);
    let record = bytes(100);
    cache.put(numbered(1), record.clone());
    assert_eq!(cache.get(&numbered(1)).unwrap().as_ptr(), record.as_ptr());
    assert_eq!(cache.get(&numbered(2)), None);
}

#[test]
fn a_record_is_gone_when_its_time_is_over() {
    let ttl = Duration::from_millis(50);
    let cache = MemoryCache::new(10, 1000, ttl);
    cache.put(numbered(1), bytes(1));
    assert!(cache.get(&numbered(1)).is_some());
    std::thread::sleep(ttl);
    assert_eq!(cache.get(&numbered(1)), None);
    cache.put(numbered(1), bytes(2));
    assert_eq!(cache.get(&numbered(1)), Some(bytes(2)), "and can be put again");
}

#[test]
fn what_is_used_by_many_stays_within_its_bounds() {
    let cache = MemoryCache::new(50, 1000, LONG);
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let cache = &cache;
            scope.spawn(move || {
                for round in 0..2000_u16 {
                    let number = u8::try_from((round.wrapping_mul(31) ^ u16::from(thread)) % 150).unwrap();
                    if round % 3 == 0 {
                        cache.put(numbered(number), bytes(usize::from(number) % 100));
                    } else {
                        cache.get(&numbered(number));
                    }
                }
            });
        }
    });
    let kept: Vec<_> = (0..150).filter_map(|number| cache.get(&numbered(number))).collect();
    assert!(kept.len() <= 50 && kept.iter().map(Bytes::len).sum::<usize>() <= 1000, "{} records", kept.len());
    assert!(kept.len() > 5, "it still keeps what it can: {}", kept.len());
}

/// What the cache is to do, written down plainly: the one that was used last is the last.
#[derive(Default)]
struct Expected(VecDeque<(u8, usize)>);

impl Expected {
    fn touch(&mut self, number: u8) -> Option<usize> {
        let index = self.0.iter().position(|(own, _)| *own == number)?;
        let entry = self.0.remove(index)?;
        self.0.push_back(entry);
        Some(entry.1)
    }

    fn put(&mut self, number: u8, length: usize, max_entries: usize, max_bytes: usize) {
        self.0.retain(|(own, _)| *own != number);
        self.0.push_back((number, length));
        while self.0.len() > max_entries || self.0.iter().map(|(_, length)| length).sum::<usize>() > max_bytes {
            self.0.pop_front();
        }
    }
}

proptest! {
    #[test]
    fn the_one_not_used_for_the_longest_goes_first_by_number_and_by_bytes(
        max_entries in 1..8_usize,
        max_bytes in 10..60_usize,
        steps in vec((any::<bool>(), 0..12_u8, 0..10_usize), 1..60),
    ) {
        let cache = MemoryCache::new(max_entries as u64, max_bytes as u64, LONG);
        let mut expected = Expected::default();
        for (puts, number, length) in steps {
            if puts {
                cache.put(numbered(number), bytes(length));
                expected.put(number, length, max_entries, max_bytes);
            } else {
                prop_assert_eq!(cache.get(&numbered(number)).map(|record| record.len()), expected.touch(number));
            }
            let kept = (0..12).filter(|number| cache.records.contains_key(&numbered(*number))).collect::<Vec<_>>();
            let mut held: Vec<_> = expected.0.iter().map(|(number, _)| *number).collect();
            held.sort_unstable();
            prop_assert_eq!(kept, held);
        }
    }
}
