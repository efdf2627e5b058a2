//! An image's custom properties.

use std::collections::HashMap;

/// Up to so many are looked through one by one, which is faster than an index.
const FEW: usize = 32;

/// Custom properties in the order in which they were first set, each name once. Finding, setting and removing one takes the same
/// time however many there are. A value of `None` comes from the first API, or the operator's schema allows null.
#[derive(Clone, Debug, Default)]
pub struct Properties {
    /// `None` where one was removed, so that the others keep their slots.
    slots: Vec<Option<(String, Option<String>)>>,
    /// The slot of each name; empty while there are few slots.
    by_name: HashMap<String, usize>,
    /// Slots that are in use.
    count: usize,
}

impl Properties {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The value of a name; `None` if it is not set.
    pub fn get(&self, name: &str) -> Option<Option<&str>> {
        let (_, value) = self.slots.get(self.slot_of(name)?)?.as_ref()?;
        Some(value.as_deref())
    }

    /// Sets a value. A name that is there keeps its place.
    pub fn set(&mut self, name: &str, value: Option<String>) {
        let known = self.slot_of(name).and_then(|slot| self.slots.get_mut(slot)?.as_mut());
        if let Some((_, present)) = known {
            *present = value;
            return;
        }
        self.slots.push(Some((name.to_owned(), value)));
        self.count += 1;
        if self.by_name.is_empty() {
            self.index();
        } else {
            self.by_name.insert(name.to_owned(), self.slots.len() - 1);
        }
    }

    /// Removes a name; it is no error if it is not there.
    pub fn remove(&mut self, name: &str) {
        let slot = self.slot_of(name).and_then(|slot| self.slots.get_mut(slot)?.take());
        if slot.is_none() {
            return;
        }
        self.count -= 1;
        self.by_name.remove(name);
        // At half of the slots, so that all removals together take no longer than the additions did.
        if self.slots.len() <= FEW || self.count < self.slots.len() / 2 {
            self.slots.retain(Option::is_some);
            self.by_name.clear();
            self.index();
        }
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.slots.iter().flatten().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// The names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    fn slot_of(&self, name: &str) -> Option<usize> {
        if self.by_name.is_empty() {
            self.slots.iter().position(|slot| slot.as_ref().is_some_and(|(known, _)| known == name))
        } else {
            self.by_name.get(name).copied()
        }
    }

    fn index(&mut self) {
        if self.slots.len() > FEW {
            let named =
                self.slots.iter().enumerate().filter_map(|(index, slot)| Some((slot.as_ref()?.0.clone(), index)));
            self.by_name = named.collect();
        }
    }
}

impl PartialEq for Properties {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

/// Of a row, whose names differ.
impl From<Vec<(String, Option<String>)>> for Properties {
    fn from(properties: Vec<(String, Option<String>)>) -> Self {
        let count = properties.len();
        let mut new = Self { slots: properties.into_iter().map(Some).collect(), by_name: HashMap::new(), count };
        new.index();
        new
    }
}

impl From<Properties> for Vec<(String, Option<String>)> {
    fn from(properties: Properties) -> Self {
        properties.slots.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks against a plain list after every step, below and above the number where the index begins.
    #[test]
    fn order_and_values_are_those_of_a_list() {
        let mut properties = Properties::default();
        let mut list: Vec<(String, Option<String>)> = Vec::new();
        let mut number: u64 = 7;
        for step in 0..4000 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let name = format!("p{}", (number >> 33) % if step < 1000 { 40 } else { 150 });
            // At times mostly additions, at times mostly removals.
            if (number >> 60) < if (step / 500) % 2 == 0 { 3 } else { 13 } {
                properties.remove(&name);
                list.retain(|(known, _)| *known != name);
            } else {
                let value = (!number.is_multiple_of(5)).then(|| step.to_string());
                properties.set(&name, value.clone());
                match list.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, present)) => *present = value,
                    None => list.push((name.clone(), value)),
                }
            }
            let found = list.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_deref());
            assert_eq!(properties.get(&name), found);
            assert_eq!((properties.len(), properties.is_empty()), (list.len(), list.is_empty()));
            if step % 50 == 0 {
                assert!(properties.iter().eq(list.iter().map(|(name, value)| (name.as_str(), value.as_deref()))));
                assert_eq!(properties, Properties::from(list.clone()));
            }
        }
        assert_eq!(Vec::from(properties), list);
    }

    #[test]
    fn removed_slots_do_not_pile_up() {
        let mut properties = Properties::default();
        for number in 0..100_000 {
            properties.set(&number.to_string(), None);
            properties.remove(&number.to_string());
        }
        assert!(properties.slots.len() <= FEW, "{}", properties.slots.len());
        (0..1000).for_each(|number| properties.set(&number.to_string(), None));
        (0..1000).rev().for_each(|number| properties.remove(&number.to_string()));
        assert!(properties.is_empty() && properties.slots.is_empty() && properties.by_name.is_empty());
    }
}
