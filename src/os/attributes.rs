//! Giving a child its attributes between fork and exec, with system calls alone.

use crate::model::attributes::Attributes;

/// Processors that an affinity can name.
const MOST_CPUS: usize = 1024;
const WORD: usize = u64::BITS as usize;
const NPROC: usize = libc::RLIMIT_NPROC as usize;
const NOFILE: usize = libc::RLIMIT_NOFILE as usize;
const CORE: usize = libc::RLIMIT_CORE as usize;

/// The attributes in the kernel's own terms, made before the fork.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prepared {
    limits: Vec<(usize, [u64; 2])>,
    nice: Option<i32>,
    ionice: Option<i32>,
    cpus: Option<[u64; MOST_CPUS / WORD]>,
    no_new_privileges: bool,
    umask: Option<u32>,
}

impl Prepared {
    /// Puts them into the kernel's terms.
    pub fn new(attributes: &Attributes) -> Prepared {
        let limits = [(NOFILE, attributes.nofile), (NPROC, attributes.nproc), (CORE, attributes.core)];
        let cpus = (!attributes.cpus.is_empty()).then(|| {
            let mut mask = [0; MOST_CPUS / WORD];
            for cpu in attributes.cpus.iter().map(|cpu| *cpu as usize).filter(|cpu| *cpu < MOST_CPUS) {
                mask[cpu / WORD] |= 1u64 << (cpu % WORD);
            }
            mask
        });
        Prepared {
            limits: limits.into_iter().filter_map(|(which, most)| Some((which, [most?; 2]))).collect(),
            nice: attributes.nice,
            ionice: attributes.ionice.map(|class| class.number()),
            cpus,
            no_new_privileges: attributes.no_new_privileges,
            umask: attributes.umask,
        }
    }

    /// What must be done while the child still has dogwatch's rights. False: errno says why not.
    ///
    /// # Safety
    /// For the child of a fork before it becomes another user; async-signal-safe.
    #[expect(unsafe_code, reason = "between fork and exec there are only system calls")]
    pub unsafe fn apply_with_rights(&self) -> bool {
        // SAFETY: the pointers are to memory of this process that lives through each call; the kernel reads
        // two u64 for a limit (struct rlimit64) and as many bytes of the mask as are named.
        unsafe {
            for (which, limit) in &self.limits {
                let none = std::ptr::null_mut::<[u64; 2]>();
                if libc::syscall(libc::SYS_prlimit64, 0, *which, limit.as_ptr(), none) < 0 {
                    return false;
                }
            }
            if let Some(nice) = self.nice
                && libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS as usize, 0, nice) < 0
            {
                return false;
            }
            const IOPRIO_WHO_PROCESS: usize = 1;
            if let Some(class) = self.ionice
                && libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, class) < 0
            {
                return false;
            }
            if let Some(mask) = &self.cpus
                && libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(mask), mask.as_ptr()) < 0
            {
                return false;
            }
        }
        true
    }

    /// What stays to be done once it has become the service's user. False: errno says why not.
    ///
    /// # Safety
    /// As [`Self::apply_with_rights`], afterwards.
    #[expect(unsafe_code, reason = "between fork and exec there are only system calls")]
    pub unsafe fn apply_as_the_user(&self) -> bool {
        const USUAL: u32 = 0o022;
        // SAFETY: integers only.
        unsafe {
            libc::umask(self.umask.unwrap_or(USUAL));
            !self.no_new_privileges || libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::attributes::IoClass;

    #[test]
    fn in_the_kernels_terms() {
        let attributes = Attributes {
            cpus: vec![0, 2, 64],
            nofile: Some(4096),
            ionice: Some(IoClass::BestEffort(7)),
            ..Attributes::default()
        };
        let prepared = Prepared::new(&attributes);
        assert_eq!(prepared.cpus.unwrap()[..2], [0b101, 1]);
        assert_eq!(prepared.limits, [(NOFILE, [4096, 4096])]);
        assert_eq!(prepared.ionice, Some(2 << 13 | 7));
        assert_eq!(Prepared::new(&Attributes::default()), Prepared::default());
    }
}
