// What all kernels share: memory access, warps, shared memory. Needs no header of CUDA's, so that NVRTC
// compiles it as it is; a test compiles it for the CPU (tests/kernels/shim.hpp stands in for CUDA then).
#pragma once

typedef unsigned char u8;
typedef signed char i8;
typedef short i16;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int i32;
typedef long long i64;

#include "format.h"

#ifndef WCODEC_SHIM
// What is rare is called, so that it takes neither registers nor room in the hot loops. Its parameters are values:
// a struct by reference would have to be in memory.
#define OUT_OF_LINE __device__ __noinline__

// The CTA's shared memory: its size is a launch parameter.
#define SHARED_MEMORY extern __shared__ uint4 shared_memory[]

// Copies 16 bytes from global to shared memory in the background; both addresses are multiples of 16.
__device__ __forceinline__ void copy_async(void* to, const void* from) {
    u32 address = static_cast<u32>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(from) : "memory");
}

// Waits for the copies that this thread has begun.
__device__ __forceinline__ void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// The GPU's clock, which all its processors share.
__device__ __forceinline__ u64 nanoseconds() {
    u64 now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now)::"memory");
    return now;
}

// Which of the GPU's processors this is.
__device__ __forceinline__ u32 processor() {
    u32 id;
    asm volatile("mov.u32 %0, %%smid;" : "=r"(id));
    return id;
}

// Has the compiler load and compute again what comes from an address, instead of keeping it in registers over a
// hot loop that has no use for it.
template <class T>
__device__ __forceinline__ void forget(const T*& address) {
    asm volatile("" : "+l"(address));
}

// Stores to global memory, which the compiler does not know an address that was an integer to be of.
__device__ __forceinline__ void store(u8* to, uint4 four) {
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(four.x), "r"(four.y), "r"(four.z), "r"(four.w)
                 : "memory");
}
__device__ __forceinline__ void store(u8* to, uint2 two) {
    asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(to), "r"(two.x), "r"(two.y) : "memory");
}
#endif

constexpr u32 WARP = 32;
constexpr u32 ALL_LANES = 0xffffffffu;

__device__ __forceinline__ u32 lane_of_thread() { return threadIdx.x % WARP; }
__device__ __forceinline__ u32 warp_of_thread() { return threadIdx.x / WARP; }
__device__ __forceinline__ u32 warps_of_block() { return blockDim.x / WARP; }

__device__ __forceinline__ u8* shared_bytes() {
    SHARED_MEMORY;
    return reinterpret_cast<u8*>(shared_memory);
}

template <class T>
__device__ __forceinline__ T load(const u8* from) {
    return __ldg(reinterpret_cast<const T*>(from));
}

// Addresses travel as integers, from a host that knows them from its allocator.
__device__ __forceinline__ const u8* input_of(u64 address) { return reinterpret_cast<const u8*>(address); }
__device__ __forceinline__ u8* output_of(u64 address) { return reinterpret_cast<u8*>(address); }

__device__ __forceinline__ bool aligned(const void* pointer, u32 bytes) {
    return reinterpret_cast<u64>(pointer) % bytes == 0;
}

__device__ __forceinline__ u32 round_up(u32 n, u32 to) { return (n + to - 1) / to * to; }

// Has the warps of a CTA take the chunks of its item in turns, and report of each; `decode` gives its status.
template <class Decode>
__device__ __forceinline__ void each_chunk(const Item& item, const Chunk* chunks, Report* reports, Decode decode) {
#pragma unroll 1
    for (u32 i = warp_of_thread(); i < item.count; i += warps_of_block()) {
        if (lane_of_thread() == 0) reports[item.first + i].begin = nanoseconds();
        const u32 status = decode(chunks + item.first + i);
        if (lane_of_thread() == 0) {
            reports[item.first + i].end = nanoseconds();
            reports[item.first + i].processor = processor();
            reports[item.first + i].status = status;
        }
    }
}

// The first problem of a chunk stays: checks are made in the order of the CPU's.
__device__ __forceinline__ void note(u32& status, bool bad, u32 problem) {
    if (bad && status == STATUS_OK) status = problem;
}
