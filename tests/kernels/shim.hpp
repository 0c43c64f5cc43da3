// Runs CUDA C++ kernels on the CPU, one CTA after the other on one thread: every CUDA thread is a fiber, and
// collectives (__syncthreads, __syncwarp, ballots, shuffles) park it until all threads they name have arrived.
// Between collectives, threads run in an order that changes from pass to pass, so that a missing barrier shows;
// background copies arrive as late as they may. Threads that wait at different collectives are an error.
#pragma once
#define WCODEC_SHIM
#include <ucontext.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define OUT_OF_LINE inline
#define __launch_bounds__(...)

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

namespace shim {

enum class Wait { None, Block, Warp, Ballot, Shuffle };

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    std::vector<std::pair<void*, const void*>> copies;
    bool done = false;
    Wait wait = Wait::None;
    uint32_t mask = 0;
    uint64_t value = 0, result = 0;
    unsigned source = 0;
    dim3 thread;
};

constexpr size_t STACK = 256 << 10;
inline std::vector<Fiber>* fibers;
inline Fiber* current;
inline ucontext_t scheduler;
inline dim3 block_index, block_size, grid_size;
inline std::vector<uint4> shared;
inline const std::function<void()>* kernel;
inline uint32_t order = 1;

[[noreturn]] inline void die(const char* what) {
    fprintf(stderr, "CUDA on the CPU: %s (block %u)\n", what, block_index.x);
    abort();
}

inline uint64_t park(Wait wait, uint32_t mask, uint64_t value, unsigned source) {
    Fiber* me = current;
    me->wait = wait;
    me->mask = mask;
    me->value = value;
    me->source = source;
    swapcontext(&me->context, &scheduler);
    return me->result;
}

inline void entry() {
    (*kernel)();
    current->done = true;
    swapcontext(&current->context, &scheduler);
}

// Lets a warp go on if all lanes of a collective are there.
inline bool release(Fiber* warp, unsigned lanes) {
    bool any = false;
    for (unsigned lane = 0; lane < lanes; ++lane) {
        const Wait wait = warp[lane].wait;
        const uint32_t mask = warp[lane].mask;
        if (warp[lane].done || wait == Wait::None || wait == Wait::Block) continue;
        if (!(mask >> lane & 1)) die("a lane is not in its own mask");
        bool all = true;
        uint32_t ballot = 0;
        for (unsigned other = 0; other < 32; ++other) {
            if (!(mask >> other & 1)) continue;
            if (other >= lanes || warp[other].done || warp[other].wait != wait || warp[other].mask != mask) all = false;
            else ballot |= uint32_t(warp[other].value != 0) << other;
        }
        if (!all) continue;
        for (unsigned other = 0; other < lanes; ++other) {
            if (!(mask >> other & 1)) continue;
            const unsigned source = warp[other].source % 32;
            if (wait == Wait::Shuffle && (source >= lanes || !(mask >> source & 1))) die("a shuffle from outside its mask");
            warp[other].result = wait == Wait::Ballot ? ballot : wait == Wait::Shuffle ? warp[source].value : 0;
        }
        for (unsigned other = 0; other < lanes; ++other)
            if (mask >> other & 1) warp[other].wait = Wait::None;
        any = true;
    }
    return any;
}

inline void run_block() {
    std::vector<Fiber>& all = *fibers;
    const unsigned count = block_size.x;
    for (uint4& four : shared) memset(&four, 0xcd, sizeof(four));
    for (unsigned i = 0; i < count; ++i) {
        Fiber& fiber = all[i];
        fiber.done = false;
        fiber.wait = Wait::None;
        fiber.thread = {i, 0, 0};
        fiber.copies.clear();
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get();
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, entry, 0);
    }
    for (;;) {
        bool moved = false;
        unsigned live = 0, waiting = 0;
        for (unsigned first = 0; first < count; first += 32) {
            const unsigned lanes = count - first < 32 ? count - first : 32;
            order ^= order << 13, order ^= order >> 17, order ^= order << 5;
            const unsigned flip = order % 32;
            for (unsigned i = 0; i < 32; ++i) {
                const unsigned lane = i ^ flip;
                if (lane >= lanes) continue;
                Fiber& fiber = all[first + lane];
                if (!fiber.done && fiber.wait == Wait::None) {
                    current = &fiber;
                    swapcontext(&scheduler, &fiber.context);
                    moved = true;
                }
            }
            moved |= release(&all[first], lanes);
            for (unsigned lane = 0; lane < lanes; ++lane) {
                live += !all[first + lane].done;
                waiting += !all[first + lane].done && all[first + lane].wait == Wait::Block;
            }
        }
        if (live == 0) return;
        if (waiting == live) {
            for (unsigned i = 0; i < count; ++i)
                if (!all[i].done) all[i].wait = Wait::None;
            moved = true;
        }
        if (!moved) die("threads wait at different collectives");
    }
}

inline void launch(unsigned grid, unsigned threads, unsigned shared_bytes, const std::function<void()>& body) {
    grid_size = {grid, 1, 1};
    block_size = {threads, 1, 1};
    // As long as was asked for, so that what is past it is not ours.
    shared = std::vector<uint4>(shared_bytes / sizeof(uint4));
    shared.shrink_to_fit();
    kernel = &body;
    static std::vector<Fiber> kept;
    while (kept.size() < threads) {
        kept.emplace_back();
        kept.back().stack.reset(new char[STACK]);
    }
    fibers = &kept;
    for (unsigned i = 0; i < grid; ++i) {
        block_index = {i, 0, 0};
        run_block();
    }
}

template <class T>
uint64_t bits_of(T value) {
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    return bits;
}

template <class T>
T shuffle(uint32_t mask, T value, unsigned source) {
    const uint64_t bits = park(Wait::Shuffle, mask, bits_of(value), source);
    memcpy(&value, &bits, sizeof(T));
    return value;
}

}  // namespace shim

#define threadIdx (shim::current->thread)
#define blockIdx shim::block_index
#define blockDim shim::block_size
#define gridDim shim::grid_size
#define SHARED_MEMORY uint4* shared_memory = shim::shared.data()

inline void __syncthreads() { shim::park(shim::Wait::Block, 0, 0, 0); }
inline void __syncwarp(uint32_t mask = ~0u) { shim::park(shim::Wait::Warp, mask, 0, 0); }
inline uint32_t __ballot_sync(uint32_t mask, bool value) { return uint32_t(shim::park(shim::Wait::Ballot, mask, value, 0)); }
inline bool __any_sync(uint32_t mask, bool value) { return __ballot_sync(mask, value) != 0; }
template <class T>
T __shfl_sync(uint32_t mask, T value, unsigned source) {
    return shim::shuffle(mask, value, source);
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, unsigned by) {
    return shim::shuffle(mask, value, (threadIdx.x % 32) ^ by);
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned by) {
    const unsigned lane = threadIdx.x % 32;
    return shim::shuffle(mask, value, lane >= by ? lane - by : lane);
}

inline float __uint_as_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}
inline uint32_t __float_as_uint(float value) { return uint32_t(shim::bits_of(value)); }
inline int __popc(uint32_t x) { return __builtin_popcount(x); }
inline int __clz(uint32_t x) { return x ? __builtin_clz(x) : 32; }
inline uint32_t __byte_perm(uint32_t a, uint32_t b, uint32_t selector) {
    const uint64_t both = uint64_t(b) << 32 | a;
    uint32_t out = 0;
    for (unsigned i = 0; i < 4; ++i) out |= uint32_t(both >> (selector >> 4 * i & 7) * 8 & 0xff) << 8 * i;
    return out;
}
template <class T>
T __ldg(const T* from) {
    return *from;
}

inline unsigned long long nanoseconds() {
    static unsigned long long now = 0;
    return ++now;
}
inline uint32_t processor() { return shim::block_index.x % 3; }

template <class T>
void forget(const T*&) {}

template <class T>
void store(unsigned char* to, T what) {
    *reinterpret_cast<T*>(to) = what;
}

inline void copy_async(void* to, const void* from) {
    if (uintptr_t(to) % 16 || uintptr_t(from) % 16) shim::die("a copy of 16 bytes from or to an odd address");
    shim::current->copies.emplace_back(to, from);
}
inline void wait_for_copies() {
    for (auto [to, from] : shim::current->copies) memcpy(to, from, 16);
    shim::current->copies.clear();
}
