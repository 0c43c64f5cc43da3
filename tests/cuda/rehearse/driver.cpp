// libcuda.so.1 for machines without a GPU: the functions of CUDA's driver that this library and Candle's tensors take,
// over the kernels that tests/kernels/shim.hpp runs on the CPU. To rehearse the host's half of decoding on a GPU.
//
// What a driver may do later is done as late as it may: a stream begins with its work when somebody waits for it. With
// EMULATED_GPU_EARLY set, streams that are made (those of uploads are) do theirs at once, and so ahead of the others. Memory
// that has been given back can never be touched again, and new memory holds junk. So what uses a pinned buffer again
// too early, waits for the wrong event, or frees what is in use, may show as wrong bytes or as the program's end.
#include "../../kernels/shim.hpp"

#define SOURCES
#include "kernels.inc"
#undef SOURCES

#include <sys/mman.h>

#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <string>

namespace {

enum Result { OK = 0, INVALID = 1, OUT_OF_MEMORY = 2, NO_CONTEXT = 201, NOT_FOUND = 500, NOT_SUPPORTED = 801 };

constexpr size_t PAGE = 4096;
// Shared memory of a CTA, without asking and at most.
constexpr unsigned SHARED_USUAL = 48 << 10, SHARED_MOST = 227 << 10;

std::recursive_mutex mutex;
size_t room = 2ull << 30;
std::map<uintptr_t, size_t> device_memory, pinned_memory;
thread_local void* context;

struct Queue {
    std::deque<std::function<void()>> work;
    uint64_t enqueued = 0, begun = 0;
    // Whether it works at once.
    bool early = false;

    void add(std::function<void()> one) {
        work.push_back(std::move(one));
        ++enqueued;
        if (early) run(enqueued);
    }

    void run(uint64_t until) {
        while (begun < until) {
            const auto one = std::move(work.front());
            work.pop_front();
            ++begun;
            one();
        }
    }
};

using Shared = std::shared_ptr<Queue>;
std::map<void*, Shared> streams;
Shared legacy = std::make_shared<Queue>();
thread_local Shared of_thread = std::make_shared<Queue>();
std::vector<std::weak_ptr<Queue>> all = {legacy};

// A handle means another stream on each thread if it is that of the thread's own.
Shared stream_of(void* handle) {
    if (handle == nullptr || handle == (void*)1) return legacy;
    if (handle == (void*)2) {
        all.push_back(of_thread);
        return of_thread;
    }
    return streams.at(handle);
}

void run_all() {
    for (size_t i = 0; i < all.size(); ++i)
        if (const Shared stream = all[i].lock()) stream->run(stream->enqueued);
}

struct Event {
    Shared stream;
    uint64_t after = 0;
    // Written when the stream comes to it.
    std::shared_ptr<double> time = std::make_shared<double>(0);
};

size_t pages(size_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }

uintptr_t take(std::map<uintptr_t, size_t>& from, size_t bytes) {
    void* memory = mmap(nullptr, pages(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 0;
    memset(memory, 0xa5, bytes);
    from[uintptr_t(memory)] = bytes;
    return uintptr_t(memory);
}

// Nobody can have it, or its address, any more.
void give(std::map<uintptr_t, size_t>& to, uintptr_t address) {
    const auto found = to.find(address);
    if (found == to.end()) shim::die("memory is freed that is not there");
    madvise((void*)address, pages(found->second), MADV_DONTNEED);
    mprotect((void*)address, pages(found->second), PROT_NONE);
    to.erase(found);
}

bool pinned(const void* address) {
    auto above = pinned_memory.upper_bound(uintptr_t(address));
    if (above == pinned_memory.begin()) return false;
    --above;
    return uintptr_t(address) < above->first + above->second;
}

struct Kernel {
    std::string name;
    unsigned shared = SHARED_USUAL;
};

using Decode = void (*)(const Tensor*, const Chunk*, const Item*, Report*, u32);

template <class T>
T argument(void** from, int i) {
    return *static_cast<T*>(from[i]);
}

std::function<void()> bind(Decode kernel, void** a) {
    const auto t = argument<const Tensor*>(a, 0);
    const auto c = argument<const Chunk*>(a, 1);
    const auto i = argument<const Item*>(a, 2);
    const auto r = argument<Report*>(a, 3);
    const auto room = argument<u32>(a, 4);
    return [=] { kernel(t, c, i, r, room); };
}

template <class From, class To>
std::function<void()> bind(void (*kernel)(const From*, To*, u64), void** a) {
    const auto from = argument<const From*>(a, 0);
    const auto to = argument<To*>(a, 1);
    const auto count = argument<u64>(a, 2);
    return [=] { kernel(from, to, count); };
}

const std::map<std::string, std::function<std::function<void()>(void**)>> KERNELS = {
#include "kernels.inc"
};

}  // namespace

#define LOCKED const std::lock_guard<std::recursive_mutex> lock(mutex)
#define IN_CONTEXT \
    LOCKED;        \
    if (context == nullptr) return NO_CONTEXT

extern "C" {

int cuInit(unsigned) {
    if (const char* bytes = getenv("EMULATED_GPU_BYTES")) room = strtoull(bytes, nullptr, 10);
    return OK;
}
int cuDeviceGetCount(int* count) { return *count = 1, OK; }
int cuDeviceGet(int* device, int) { return *device = 0, OK; }
int cuDeviceGetName(char* name, int len, int) { return snprintf(name, len, "a GPU that this CPU emulates"), OK; }
int cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case 16: *value = 3; break;             // processors
        case 75: *value = getenv("EMULATED_GPU_OLD") ? 7 : 9; break;  // compute capability
        case 97: *value = SHARED_MOST; break;   // with opt-in
        case 115: *value = 1; break;            // memory pools
        default: *value = 0;
    }
    return OK;
}
int cuDevicePrimaryCtxRetain(void** to, int) { return *to = (void*)0x10, OK; }
int cuDevicePrimaryCtxRelease_v2(int) { return OK; }
int cuCtxSetCurrent(void* to) { return context = to, OK; }
int cuCtxGetCurrent(void** to) { return *to = context, OK; }
int cuCtxDestroy_v2(void*) { return OK; }
int cuCtxSynchronize() {
    IN_CONTEXT;
    return run_all(), OK;
}
int cuGetErrorString(int, const char** text) { return *text = "an error of the emulated driver", OK; }

int cuStreamCreate(void** to, unsigned) {
    IN_CONTEXT;
    const Shared stream = std::make_shared<Queue>();
    stream->early = getenv("EMULATED_GPU_EARLY") != nullptr;
    all.push_back(stream);
    streams[*to = stream.get()] = stream;
    return OK;
}
int cuStreamDestroy_v2(void* handle) {
    IN_CONTEXT;
    const Shared stream = stream_of(handle);
    stream->run(stream->enqueued);
    return streams.erase(handle), OK;
}
int cuStreamSynchronize(void* handle) {
    IN_CONTEXT;
    const Shared stream = stream_of(handle);
    return stream->run(stream->enqueued), OK;
}
int cuStreamIsCapturing(void*, int* status) { return *status = 0, OK; }
int cuStreamWaitEvent(void* handle, Event* event, unsigned) {
    IN_CONTEXT;
    const Shared before = event->stream;
    const uint64_t after = event->after;
    if (before) stream_of(handle)->add([=] { before->run(after); });
    return OK;
}

int cuEventCreate(Event** to, unsigned) {
    IN_CONTEXT;
    return *to = new Event, OK;
}
int cuEventDestroy_v2(Event* event) {
    LOCKED;
    return delete event, OK;
}
int cuEventRecord(Event* event, void* handle) {
    IN_CONTEXT;
    const auto time = event->time;
    event->stream = stream_of(handle);
    event->stream->add([=] {
        *time = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
    });
    event->after = event->stream->enqueued;
    return OK;
}
int cuEventSynchronize(Event* event) {
    IN_CONTEXT;
    if (event->stream) event->stream->run(event->after);
    return OK;
}
int cuEventElapsedTime_v2(float* to, Event* begin, Event* end) { return *to = float(*end->time - *begin->time), OK; }

int cuMemAlloc_v2(uintptr_t* to, size_t bytes) {
    IN_CONTEXT;
    const auto fits = [=] {
        size_t taken = bytes;
        for (const auto& [_, len] : device_memory) taken += len;
        return taken <= room;
    };
    // What is only to be given back yet.
    if (!fits()) run_all();
    if (!fits()) return OUT_OF_MEMORY;
    return bytes == 0 ? INVALID : (*to = take(device_memory, bytes)) ? OK : OUT_OF_MEMORY;
}
int cuMemAllocAsync(uintptr_t* to, size_t bytes, void*) { return cuMemAlloc_v2(to, bytes); }
int cuMemFree_v2(uintptr_t address) {
    IN_CONTEXT;
    return run_all(), give(device_memory, address), OK;
}
int cuMemFreeAsync(uintptr_t address, void* handle) {
    IN_CONTEXT;
    return stream_of(handle)->add([=] { give(device_memory, address); }), OK;
}
int cuMemHostAlloc(void** to, size_t bytes, unsigned) {
    IN_CONTEXT;
    return (*to = (void*)take(pinned_memory, bytes)) ? OK : OUT_OF_MEMORY;
}
int cuMemFreeHost(void* address) {
    IN_CONTEXT;
    return give(pinned_memory, uintptr_t(address)), OK;
}

int cuMemcpyHtoDAsync_v2(uintptr_t to, const void* from, size_t bytes, void* handle) {
    IN_CONTEXT;
    if (pinned(from)) {
        stream_of(handle)->add([=] { memcpy((void*)to, from, bytes); });
    } else {
        // A driver has taken it when it returns.
        const std::vector<char> kept((const char*)from, (const char*)from + bytes);
        stream_of(handle)->add([=] { memcpy((void*)to, kept.data(), bytes); });
    }
    return OK;
}
int cuMemcpyDtoHAsync_v2(void* to, uintptr_t from, size_t bytes, void* handle) {
    IN_CONTEXT;
    const Shared stream = stream_of(handle);
    stream->add([=] { memcpy(to, (const void*)from, bytes); });
    // It is there when a driver returns, unless it goes to pinned memory.
    if (!pinned(to)) stream->run(stream->enqueued);
    return OK;
}
int cuMemcpyDtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, void* handle) {
    IN_CONTEXT;
    return stream_of(handle)->add([=] { memcpy((void*)to, (const void*)from, bytes); }), OK;
}
int cuMemcpyPeerAsync(uintptr_t, void*, uintptr_t, void*, size_t, void*) { return NOT_SUPPORTED; }
int cuMemsetD8Async(uintptr_t to, unsigned char value, size_t bytes, void* handle) {
    IN_CONTEXT;
    return stream_of(handle)->add([=] { memset((void*)to, value, bytes); }), OK;
}

int cuModuleLoad(void**, const char*) { return NOT_SUPPORTED; }
int cuModuleLoadData(Kernel** to, const char* ptx) {
    IN_CONTEXT;
    const char* entry = strstr(ptx, ".entry ");
    if (entry == nullptr) return NOT_FOUND;
    entry += strlen(".entry ");
    return *to = new Kernel{std::string(entry, strcspn(entry, "( \n"))}, OK;
}
int cuModuleUnload(Kernel*) { return OK; }
int cuModuleGetFunction(Kernel** to, Kernel* from, const char* name) {
    return *to = from, from->name == name && KERNELS.count(name) ? OK : NOT_FOUND;
}
int cuFuncSetAttribute(Kernel* kernel, int attribute, int value) {
    if (attribute != 8 || value < 0 || unsigned(value) > SHARED_MOST) return INVALID;
    return kernel->shared = value, OK;
}
int cuLaunchKernel(Kernel* kernel, unsigned grid, unsigned grid_y, unsigned grid_z, unsigned threads, unsigned threads_y,
                   unsigned threads_z, unsigned shared, void* handle, void** arguments, void**) {
    IN_CONTEXT;
    if (grid == 0 || threads == 0 || threads > 1024 || grid_y * grid_z * threads_y * threads_z != 1) return INVALID;
    if (shared > kernel->shared) return INVALID;
    const auto body = KERNELS.at(kernel->name)(arguments);
    stream_of(handle)->add([=] { shim::launch(grid, threads, shared, body); });
    return OK;
}
}
