use wasmtime::ResourceLimiter;

/// Keeps a store's memories and tables, all together, within a number of bytes.
///
/// A growth that was allowed and then failed stays counted. The engine reports failures that it never asked about too
/// (a size past what can be addressed), so giving back on failure would let a guest lower the count at will.
pub(crate) struct MemoryLimiter {
    limit_bytes: usize,
    used_bytes: usize,
}

/// Instances, memories and tables of one store. A component has a handful of each; one that a toolchain links from
/// many libraries a few dozen.
pub(crate) const INSTANCES_PER_STORE: u32 = 64;
pub(crate) const MEMORIES_PER_STORE: u32 = 8;
pub(crate) const TABLES_PER_STORE: u32 = 16;

/// Elements of one table: what a pool has room for, and held without a pool too, so that a run goes alike in both.
pub(crate) const TABLE_ELEMENTS: usize = 20_000;

/// Bytes that the engine spends on an element of a table.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

impl MemoryLimiter {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            used_bytes: 0,
        }
    }

    fn grow(&mut self, bytes: usize) -> bool {
        let used = self.used_bytes.saturating_add(bytes);
        let fits = used <= self.limit_bytes;
        if fits {
            self.used_bytes = used;
        }
        fits
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(maximum.is_none_or(|maximum| desired <= maximum) && self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES);
        let most = maximum.unwrap_or(TABLE_ELEMENTS).min(TABLE_ELEMENTS);
        Ok(desired <= most && self.grow(bytes))
    }

    fn instances(&self) -> usize {
        INSTANCES_PER_STORE as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_PER_STORE as usize
    }

    fn tables(&self) -> usize {
        TABLES_PER_STORE as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut limiter = MemoryLimiter::new(1000);
        assert!(limiter.memory_growing(0, 600, None).unwrap());
        assert!(!limiter.memory_growing(0, 600, None).unwrap());
        assert!(limiter.table_growing(0, 50, None).unwrap());
        assert!(!limiter.table_growing(50, 51, None).unwrap());
        assert!(!limiter.memory_growing(600, 601, None).unwrap());
    }

    #[test]
    fn a_growth_that_fails_gives_nothing_back() {
        let mut limiter = MemoryLimiter::new(1000);
        assert!(limiter.memory_growing(0, 1000, None).unwrap());
        // The engine says this of a table's growth that it never asked about.
        limiter.table_grow_failed(wasmtime::Error::msg("overflow")).unwrap();
        limiter.memory_grow_failed(wasmtime::Error::msg("overflow")).unwrap();
        assert!(!limiter.memory_growing(1000, 1001, None).unwrap());
    }

    #[test]
    fn a_table_has_the_same_room_in_every_engine() {
        let mut limiter = MemoryLimiter::new(usize::MAX);
        assert!(limiter.table_growing(0, TABLE_ELEMENTS, None).unwrap());
        assert!(!limiter.table_growing(0, TABLE_ELEMENTS + 1, None).unwrap());
        assert!(!limiter.table_growing(0, TABLE_ELEMENTS + 1, Some(usize::MAX)).unwrap());
    }

    #[test]
    fn a_growth_that_a_maximum_forbids_is_not_counted() {
        let mut limiter = MemoryLimiter::new(1000);
        assert!(!limiter.memory_growing(0, 500, Some(400)).unwrap());
        assert!(limiter.memory_growing(0, 1000, None).unwrap());
    }
}
