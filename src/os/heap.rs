//! Keeping the heap of long-lived small processes small.

/// One arena for all threads, and free memory at the end of the heap goes back to the kernel. Call before
/// there is a second thread. Elsewhere than with glibc there is nothing to do.
pub fn keep_small() {
    #[cfg(target_env = "gnu")]
    {
        const KEPT: i32 = 4096;
        #[expect(unsafe_code, reason = "mallopt")]
        // SAFETY: mallopt takes integers; a value that it refuses changes nothing (mallopt(3)).
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 1);
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
            libc::mallopt(libc::M_TOP_PAD, KEPT);
        }
    }
}

/// Gives back what starting up has used and freed.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "malloc_trim")]
        // SAFETY: malloc_trim takes an integer.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
