//! Whether the kernel can keep a process away from files (landlock(7)).

/// The version of Landlock's interface, from 1; none where the kernel has none, or does not use it.
pub fn version() -> Option<u32> {
    const LANDLOCK_CREATE_RULESET_VERSION: usize = 1;
    #[expect(unsafe_code, reason = "nix has no landlock_create_ruleset")]
    // SAFETY: a null pointer with size 0 and this flag only asks for the version; nothing is made.
    let answer = unsafe {
        let none = std::ptr::null::<u8>();
        libc::syscall(libc::SYS_landlock_create_ruleset, none, 0usize, LANDLOCK_CREATE_RULESET_VERSION)
    };
    u32::try_from(answer).ok().filter(|version| *version > 0)
}
