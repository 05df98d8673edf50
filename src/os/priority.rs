//! Standing back behind everybody else, and going before them.

/// Makes this process one that stands back a little, gets no more rights, and is told to end (SIGTERM) when the process
/// `parent` ends, which has started it. False if that has happened already.
pub fn become_companion(parent: i32) -> bool {
    #[expect(unsafe_code, reason = "nix has no PR_SET_PDEATHSIG with which the thread is told")]
    // SAFETY: all arguments are integers.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::setpriority(libc::PRIO_PROCESS, 0, 10);
    }
    nix::unistd::getppid().as_raw() == parent
}

/// Makes this process one that works when nothing else wants to, and dies with its parent. Each step that is
/// refused is left out: a helper at normal priority is still a helper.
pub fn become_background_helper() {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    const IOPRIO_CLASS_IDLE: i32 = 3 << 13;
    #[expect(unsafe_code, reason = "nix has no scheduler and I/O priority calls")]
    // SAFETY: all arguments are integers, but for a sched_param that lives through its call.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::setpriority(libc::PRIO_PROCESS, 0, 19);
        let none = std::mem::zeroed::<libc::sched_param>();
        libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const none);
        libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE);
    }
}

/// Lets this thread have a processor whenever it wants one, before all that share by turns (SCHED_FIFO, sched(7)).
/// What it starts does not inherit that. False where the right is missing: only root has it.
pub fn go_first() -> bool {
    #[expect(unsafe_code, reason = "nix has no scheduler calls")]
    // SAFETY: two integers, and a sched_param that lives through the call; 0 is this thread.
    unsafe {
        let lowest = libc::sched_param { sched_priority: 1 };
        libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const lowest) == 0
    }
}
