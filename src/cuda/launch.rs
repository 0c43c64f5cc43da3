//! How the chunks of a batch are dealt to kernels and their CTAs.

use crate::codec::device::{launch, launch::Kernel, wire::Item};

/// What of a GPU decides how work is dealt out.
#[derive(Clone, Copy, Debug)]
pub struct GpuSize {
    /// Streaming multiprocessors.
    pub processors: u32,
    /// Bytes of shared memory that a CTA can have.
    pub shared_bytes: u32,
}

/// A kernel to launch.
#[derive(Clone, Debug)]
pub struct Launch {
    pub(super) kernel: Kernel,
    /// CTAs.
    pub grid: u32,
    /// Threads of each.
    pub threads: u32,
    /// Shared memory of each.
    pub shared_bytes: u32,
    pub(super) table_room: u32,
    pub(super) first_item: u32,
}

impl Launch {
    /// The kernel's name.
    pub fn name(&self) -> String {
        self.kernel.name()
    }
}

/// CTAs that a processor should have before they are given more than one chunk each.
const BUSY: u32 = 2;

/// Deals the chunks of parts, `counts[i]` of part `i`, to launches of kernels. Each part comes with its kernel
/// and the bytes of its tables; if they do not fit into shared memory, the kernel becomes one that needs not.
pub(super) fn plan_launches(parts: &mut [(Kernel, u32)], counts: &[u32], gpu: GpuSize) -> (Vec<Launch>, Vec<Item>) {
    let room = |kernel: Kernel| gpu.shared_bytes.saturating_sub(kernel.warps() * kernel.warp_bytes());
    for (kernel, tables) in parts.iter_mut() {
        if let Kernel::Float(stored, out, 1..) = *kernel
            && *tables > room(*kernel)
        {
            *kernel = Kernel::Float(stored, out, 0);
        }
    }
    let firsts: Vec<u32> = counts
        .iter()
        .scan(0, |next, &count| {
            let first = *next;
            *next += count;
            Some(first)
        })
        .collect();
    let mut used: Vec<Kernel> = parts.iter().map(|p| p.0).collect();
    used.sort_unstable();
    used.dedup();
    let (mut launches, mut items) = (Vec::new(), Vec::new());
    for kernel in used {
        let of_kernel = || (0..parts.len()).filter(|&i| parts[i].0 == kernel);
        let chunks: u32 = of_kernel().map(|i| counts[i]).sum();
        if chunks == 0 {
            continue;
        }
        let most = chunks.div_ceil(BUSY * gpu.processors.max(1)).clamp(1, kernel.warps());
        let first_item = items.len() as u32;
        for i in of_kernel() {
            let all = firsts[i]..firsts[i] + counts[i];
            items.extend(all.clone().step_by(most as usize).map(|first| Item {
                tensor: i as u32,
                first,
                count: most.min(all.end - first),
            }));
        }
        // Tables that do not fit stay where they are.
        let fitting = of_kernel().map(|i| parts[i].1).filter(|&bytes| bytes <= room(kernel));
        let table_room = fitting.max().unwrap_or(0).next_multiple_of(launch::RING_BYTES);
        launches.push(Launch {
            kernel,
            grid: items.len() as u32 - first_item,
            threads: most.next_power_of_two().max(4).min(kernel.warps()) * launch::WARP,
            shared_bytes: 0,
            table_room,
            first_item,
        });
        if let Some(launch) = launches.last_mut() {
            launch.shared_bytes = table_room + launch.threads / launch::WARP * kernel.warp_bytes();
        }
    }
    (launches, items)
}
