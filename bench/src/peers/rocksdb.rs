//! RocksDB with `sync` set for its writes: fdatasync of its WAL before a write returns. The system's library, through
//! its C interface: the crate that builds RocksDB takes a quarter of an hour to do it.

#![allow(unsafe_code, reason = "RocksDB is called through its C interface")]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_uchar, c_void},
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

use super::Store;
use crate::Result;

pub(super) struct RocksDb {
    database: *mut c_void,
    write_options: *mut c_void,
    next: AtomicU64,
}

// SAFETY: RocksDB's documentation says that a database may be used from many threads at once without a lock. The
// options are not changed after they were made.
unsafe impl Send for RocksDb {}
// SAFETY: as above.
unsafe impl Sync for RocksDb {}

#[link(name = "rocksdb")]
unsafe extern "C" {
    fn rocksdb_options_create() -> *mut c_void;
    fn rocksdb_options_set_create_if_missing(options: *mut c_void, yes: c_uchar);
    fn rocksdb_options_destroy(options: *mut c_void);
    fn rocksdb_open(options: *const c_void, name: *const c_char, error: *mut *mut c_char) -> *mut c_void;
    fn rocksdb_close(database: *mut c_void);
    fn rocksdb_writeoptions_create() -> *mut c_void;
    fn rocksdb_writeoptions_set_sync(options: *mut c_void, yes: c_uchar);
    fn rocksdb_writeoptions_destroy(options: *mut c_void);
    fn rocksdb_writebatch_create() -> *mut c_void;
    fn rocksdb_writebatch_put(
        batch: *mut c_void,
        key: *const c_char,
        key_bytes: usize,
        value: *const c_char,
        value_bytes: usize,
    );
    fn rocksdb_writebatch_destroy(batch: *mut c_void);
    fn rocksdb_write(database: *mut c_void, options: *const c_void, batch: *mut c_void, error: *mut *mut c_char);
    fn rocksdb_property_int(database: *mut c_void, name: *const c_char, value: *mut u64) -> c_int;
    fn rocksdb_free(pointer: *mut c_void);
}

impl Store for RocksDb {
    fn open(folder: &Path) -> Result<Self> {
        let name = CString::new(folder.join("events.rocksdb").as_os_str().as_bytes())?;
        let mut error = ptr::null_mut();
        // SAFETY: the name ends with a zero; the options live until they are destroyed, which is allowed after open.
        unsafe {
            let options = rocksdb_options_create();
            rocksdb_options_set_create_if_missing(options, 1);
            let database = rocksdb_open(options, name.as_ptr(), &mut error);
            rocksdb_options_destroy(options);
            check(error)?;
            let write_options = rocksdb_writeoptions_create();
            rocksdb_writeoptions_set_sync(write_options, 1);
            Ok(Self {
                database,
                write_options,
                next: AtomicU64::new(0),
            })
        }
    }

    fn commit(&self, payloads: &[String]) -> Result<()> {
        let mut error = ptr::null_mut();
        // SAFETY: the batch copies keys and values; it is destroyed after the write has returned.
        unsafe {
            let batch = rocksdb_writebatch_create();
            for payload in payloads {
                let key = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                let (key, value) = (key.as_ptr().cast(), payload.as_ptr().cast());
                rocksdb_writebatch_put(batch, key, size_of::<u64>(), value, payload.len());
            }
            rocksdb_write(self.database, self.write_options, batch, &mut error);
            rocksdb_writebatch_destroy(batch);
            check(error)
        }
    }

    /// An estimate that is exact where no key was ever written twice.
    fn count(&self) -> Result<u64> {
        let mut count = 0;
        // SAFETY: the name ends with a zero, and the count is there to be written.
        let status = unsafe { rocksdb_property_int(self.database, c"rocksdb.estimate-num-keys".as_ptr(), &mut count) };
        if status != 0 {
            return Err("RocksDB does not say how many keys it has".into());
        }
        Ok(count)
    }
}

impl Drop for RocksDb {
    fn drop(&mut self) {
        // SAFETY: nobody else has them, and they are not used again.
        unsafe {
            rocksdb_close(self.database);
            rocksdb_writeoptions_destroy(self.write_options);
        }
    }
}

/// # Safety
/// `error` is null or what RocksDB set.
unsafe fn check(error: *mut c_char) -> Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: RocksDB sets a string that ends with a zero, and leaves it to the caller.
    unsafe {
        let message = CStr::from_ptr(error).to_string_lossy().into_owned();
        rocksdb_free(error.cast());
        Err(message.into())
    }
}
