//! A BPF hash map whose entries are read and deleted in batches.

use std::io;
use std::marker::PhantomData;

use aya::Pod;
use aya::maps::{HashMap, Map, MapData, MapError};

use super::batch;

/// `BPF_MAP_TYPE_HASH` (`linux/bpf.h`).
const HASH: u32 = 1;

/// A hash map that belongs to a slot.
pub(super) struct BatchHashMap<K, V> {
    map: Map,
    capacity: u32,
    _types: PhantomData<(K, V)>,
}

impl<K: Pod, V: Pod> BatchHashMap<K, V> {
    /// Creates a map with this capacity.
    pub(super) fn create(name: &str, capacity: u32) -> Result<Self, MapError> {
        let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let (key, value) = (size(size_of::<K>()), size(size_of::<V>()));
        let definition = aya_obj::Map::new_from_params(HASH, key, value, capacity, 0);
        let map = Map::HashMap(MapData::create(definition, name, None)?);
        Ok(Self { map, capacity, _types: PhantomData })
    }

    /// Returns the maximum number of entries.
    pub(super) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Returns the map without its types.
    pub(super) fn data(&self) -> Result<&MapData, MapError> {
        let Map::HashMap(data) = &self.map else {
            return Err(MapError::InvalidMapType { map_type: HASH }); // never: see `create`
        };
        Ok(data)
    }

    /// Returns the value of a key.
    pub(super) fn get(&self, key: &K) -> Result<V, MapError> {
        HashMap::<&MapData, K, V>::try_from(&self.map)?.get(key, 0)
    }

    /// Inserts an entry, or replaces its value.
    pub(super) fn insert(&mut self, key: K, value: V) -> Result<(), MapError> {
        HashMap::<&mut MapData, K, V>::try_from(&mut self.map)?.insert(key, value, 0)
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, key: &K) -> Result<(), MapError> {
        HashMap::<&mut MapData, K, V>::try_from(&mut self.map)?.remove(key)
    }

    /// Returns all entries. No program may update the map meanwhile.
    pub(super) fn entries(&self) -> Result<Vec<(K, V)>, MapError> {
        let capacity = usize::try_from(self.capacity).unwrap_or(usize::MAX);
        batch::entries(self.data()?, capacity).map_err(MapError::IoError)
    }

    /// Deletes the entries that [`BatchHashMap::entries`] has returned.
    pub(super) fn delete(&mut self, entries: &[(K, V)]) -> Result<(), MapError> {
        let keys: Vec<K> = entries.iter().map(|(key, _)| *key).collect();
        batch::delete(self.data()?, &keys).map_err(|error: io::Error| MapError::IoError(error))
    }
}
