//! DPDK's environment: started once per process, from a struct, with errors that say what to do.

use core::ffi::c_char;
use core::marker::PhantomData;
use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::device::DeviceSpec;
use crate::{Errno, LogLevel, log, rx};

/// How to start EAL.
pub struct EalConfig {
    /// The program's name, as DPDK's messages show it.
    pub program: String,
    /// Use normal pages instead of hugepages: works everywhere, without privileges, and is slower.
    pub no_huge: bool,
    /// Memory to set aside, MiB. `None`: 256 without hugepages; with them, it grows as needed.
    pub memory_mib: Option<u32>,
    /// Share nothing with other DPDK processes through the file system. Needed by ordinary users, and by
    /// several independent processes on one machine. Turn off only for a primary with secondaries.
    pub no_shconf: bool,
    /// Tells this process' files from those of others. `None`: made from the process id.
    pub file_prefix: Option<String>,
    /// Cores in DPDK's `--lcores` syntax, for example `0@2`. `None`: one lcore that floats over the CPUs this
    /// process may use; threads of the caller's own join with [`Eal::register_thread`].
    pub lcores: Option<String>,
    /// The devices that will be probed: some need EAL started in a certain way.
    pub devices: Vec<DeviceSpec>,
    /// Where DPDK's messages go.
    pub log: Box<dyn Write + Send>,
    /// How many of them.
    pub log_level: LogLevel,
    /// Arguments passed on as they are, after ours.
    pub extra_args: Vec<String>,
}

impl Default for EalConfig {
    fn default() -> Self {
        EalConfig {
            program: "tsonami".into(),
            no_huge: false,
            memory_mib: None,
            no_shconf: true,
            file_prefix: None,
            lcores: None,
            devices: Vec::new(),
            log: Box::new(io::sink()),
            log_level: LogLevel::default(),
            extra_args: Vec::new(),
        }
    }
}

impl core::fmt::Debug for EalConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EalConfig").field("args", &self.args()).finish_non_exhaustive()
    }
}

impl EalConfig {
    /// The arguments EAL is started with, program name first.
    pub fn args(&self) -> Vec<String> {
        let needs: Vec<_> = self.devices.iter().map(DeviceSpec::needs).collect();
        let mut args = vec![self.program.clone()];
        if self.no_huge {
            args.push("--no-huge".into());
            args.extend(["-m".into(), self.memory_mib.unwrap_or(256).to_string()]);
            if self.no_shconf {
                args.push("--no-shconf".into());
            }
        } else {
            // `--in-memory` implies `--no-shconf`, needs no hugetlbfs mount and leaves no page files behind; EAL
            // refuses it together with `--no-huge`.
            if self.no_shconf {
                args.push("--in-memory".into());
            }
            if let Some(mib) = self.memory_mib {
                args.extend(["-m".into(), mib.to_string()]);
            }
        }
        if needs.iter().any(|n| n.single_file_segments) {
            args.push("--single-file-segments".into());
        }
        let prefix = match &self.file_prefix {
            Some(p) => p.clone(),
            None => format!("tsonami-{}", std::process::id()),
        };
        args.push(format!("--file-prefix={prefix}"));
        args.push("--lcores".into());
        args.push(self.lcores.clone().unwrap_or_else(|| format!("0@({})", allowed_cpus())));
        // Never touch a PCI device that nobody named: with an allow-list only these are probed.
        let pci: Vec<_> = self
            .devices
            .iter()
            .filter_map(DeviceSpec::pci_address)
            .flat_map(|a| ["-a".into(), a.into()])
            .collect();
        if pci.is_empty() {
            args.push("--no-pci".into());
        } else {
            args.extend(pci);
        }
        args.push("--no-telemetry".into());
        args.push(format!("--log-level={}", self.log_level.raw()));
        args.extend(self.extra_args.iter().cloned());
        args
    }
}

/// The CPUs this thread may run on, in the kernel's list format, which is also EAL's.
fn allowed_cpus() -> String {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let list = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:"));
    match list.map(str::trim) {
        Some(l) if !l.is_empty() => l.to_owned(),
        _ => "0".into(),
    }
}

/// Why EAL did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EalError {
    /// EAL starts once per process.
    #[error("DPDK was already started in this process; it cannot be started twice")]
    AlreadyStarted,
    /// No hugepages, or too few.
    #[error(
        "DPDK needs hugepages and {free_mib} MiB are free. Reserve some: \
         `echo 512 | sudo tee /proc/sys/vm/nr_hugepages`; or do without, slower: --no-huge"
    )]
    NoHugepages {
        /// Free memory in hugepages of all sizes, MiB.
        free_mib: u64,
    },
    /// An argument contains a NUL byte.
    #[error("the EAL argument {0:?} contains a NUL byte")]
    BadArgument(String),
    /// The log could not be redirected.
    #[error("DPDK's log could not be redirected")]
    Log,
    /// DPDK's own reason.
    #[error("DPDK did not start: {errno}. Arguments: {args}. It said:{log}")]
    Init {
        /// The number it left.
        errno: Errno,
        /// What it was started with.
        args: String,
        /// The last lines it logged.
        log: String,
    },
}

static STARTED: AtomicBool = AtomicBool::new(false);

/// The running environment. Clones refer to the same one; EAL is shut down when the last of them, and
/// everything made from them, is gone.
#[derive(Clone, Debug)]
pub struct Eal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    no_huge: bool,
    /// Started here, so ended here.
    ours: bool,
}

/// Removes the folder that EAL makes for each process and never removes. When nothing is shared nothing is in it, and
/// removing it at once leaves no trace even of a process that is killed.
fn remove_runtime_dir() {
    // SAFETY: returns a string of EAL's, empty before the folder was made, or null.
    let dir = unsafe { dpdk_sys::rte_eal_get_runtime_dir() };
    if dir.is_null() {
        return;
    }
    // SAFETY: not null, hence NUL-terminated; read at once.
    let dir = Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(dir) }.to_bytes()));
    if dir.is_absolute() {
        // Only if it is empty; nothing depends on it.
        let _ = fs::remove_dir(dir);
    }
}

impl Eal {
    /// Starts EAL. The calling thread becomes its main lcore.
    ///
    /// # Errors
    /// [`EalError`]. After DPDK itself failed it cannot be tried again in this process.
    pub fn start(config: EalConfig) -> Result<Eal, EalError> {
        if !config.no_huge {
            let free_mib = free_hugepage_mib();
            if free_mib < u64::from(config.memory_mib.unwrap_or(1)) {
                return Err(EalError::NoHugepages { free_mib });
            }
        }
        let args = config.args();
        let mut argv = Vec::with_capacity(args.len() + 1);
        for arg in &args {
            let c = CString::new(arg.as_str()).map_err(|_| EalError::BadArgument(arg.clone()))?;
            argv.push(c);
        }
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(EalError::AlreadyStarted);
        }
        if !log::redirect(config.log) {
            return Err(EalError::Log);
        }
        log::mark();
        // EAL keeps pointers into its arguments: they are leaked, once per process.
        let mut argv: Vec<*mut c_char> = argv.into_iter().map(CString::into_raw).collect();
        argv.push(core::ptr::null_mut());
        let argv = argv.leak();
        let argc = i32::try_from(args.len()).unwrap_or(i32::MAX);
        // SAFETY: `argv` holds `argc` NUL-terminated strings and a null pointer, all writable and never freed.
        // `STARTED` makes this the only call in the process.
        let rc = unsafe {
            dpdk_sys::rte_log_set_global_level(config.log_level.raw());
            dpdk_sys::rte_eal_init(argc, argv.as_mut_ptr())
        };
        let errno = Errno::last();
        if config.no_shconf {
            remove_runtime_dir();
        }
        if rc < 0 {
            return Err(EalError::Init { errno, args: args.join(" "), log: log::tail() });
        }
        let eal = Eal { inner: Arc::new(Inner { no_huge: config.no_huge, ours: true }) };
        rx::register_owner_count().map_err(|errno| EalError::Init {
            errno,
            args: args.join(" "),
            log: log::tail(),
        })?;
        Ok(eal)
    }

    /// Uses an EAL that the program started itself, by `rte_eal_init`, and ends itself.
    ///
    /// # Errors
    /// [`EalError::AlreadyStarted`] while another handle on one exists; [`EalError::Init`] when mbufs have no room left for a
    /// field of ours.
    ///
    /// # Safety
    /// `rte_eal_init` succeeded in this process, and `rte_eal_cleanup` is not called before everything made from the result is
    /// gone.
    pub unsafe fn adopt() -> Result<Eal, EalError> {
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(EalError::AlreadyStarted);
        }
        // SAFETY: reads what EAL was started with; it runs, by the contract.
        let no_huge = unsafe { dpdk_sys::rte_eal_has_hugepages() } == 0;
        // Its drop lets it be adopted again.
        let eal = Eal { inner: Arc::new(Inner { no_huge, ours: false }) };
        rx::register_owner_count().map_err(|errno| EalError::Init {
            errno,
            args: String::new(),
            log: log::tail(),
        })?;
        Ok(eal)
    }

    /// True when memory is in normal pages.
    pub fn no_huge(&self) -> bool {
        self.inner.no_huge
    }

    /// Makes the calling thread an lcore, which gives it a cache in every mempool. Without it everything works,
    /// slower.
    ///
    /// # Errors
    /// When no lcore id is left (128 by default).
    pub fn register_thread(&self) -> Result<ThreadRegistration, Errno> {
        // SAFETY: EAL runs; registering a registered thread is refused by EAL without harm.
        if unsafe { dpdk_sys::rte_thread_register() } < 0 {
            return Err(Errno::last());
        }
        Ok(ThreadRegistration { _eal: self.clone(), _not_send: PhantomData })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.ours {
            STARTED.store(false, Ordering::SeqCst);
            return;
        }
        // SAFETY: the last handle is gone, and with it every pool, port and buffer: each holds one.
        let rc = unsafe { dpdk_sys::rte_eal_cleanup() };
        debug_assert!(rc >= 0, "rte_eal_cleanup: {rc}");
    }
}

/// The calling thread's registration as an lcore, undone when dropped.
#[derive(Debug)]
pub struct ThreadRegistration {
    _eal: Eal,
    // It belongs to the thread that made it.
    _not_send: PhantomData<*mut ()>,
}

impl Drop for ThreadRegistration {
    fn drop(&mut self) {
        // SAFETY: this thread was registered, and this value never left it.
        unsafe { dpdk_sys::rte_thread_unregister() }
    }
}

/// Free memory in hugepages of all sizes, MiB.
fn free_hugepage_mib() -> u64 {
    let Ok(sizes) = fs::read_dir("/sys/kernel/mm/hugepages") else { return 0 };
    sizes
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let free: u64 =
                fs::read_to_string(entry.path().join("free_hugepages")).ok()?.trim().parse().ok()?;
            Some(kib * free / 1024)
        })
        .sum()
}
