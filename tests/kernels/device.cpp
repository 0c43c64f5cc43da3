// A GPU in a process: commands come from standard input, answers go to standard output. Numbers are of the
// machine's byte order. An access outside of what was allocated ends it, if it was built with AddressSanitizer.
//
//   A len            address          allocate, filled with junk
//   F address                         free
//   W address len    bytes follow     write
//   R address len -> bytes            read
//   P address len                     poison: nobody may touch it
//   L name grid threads shared arguments -> 1   launch, and wait for its end
#include "shim.hpp"

#include <map>
#include <string>

#define SOURCES
#include "kernels.inc"
#undef SOURCES

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, len) ((void)(address), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(address, len) ((void)(address), (void)(len))
#endif

template <class T>
T take() {
    T value;
    if (fread(&value, sizeof(T), 1, stdin) != 1) exit(0);
    return value;
}

static void read_all(void* to, size_t len) {
    if (len > 0 && fread(to, len, 1, stdin) != 1) exit(1);
}

static void answer(const void* from, size_t len) {
    if ((len > 0 && fwrite(from, len, 1, stdout) != 1) || fflush(stdout) != 0) exit(1);
}

using Decode = void (*)(const Tensor*, const Chunk*, const Item*, Report*, u32);

// What a kernel is launched with: four addresses or numbers of 64 bits, and one of 32.
static void call(Decode kernel, const u64* a, u32 last) {
    kernel((const Tensor*)a[0], (const Chunk*)a[1], (const Item*)a[2], (Report*)a[3], last);
}

template <class From, class To>
void call(void (*kernel)(const From*, To*, u64), const u64* a, u32) {
    kernel((const From*)a[0], (To*)a[1], a[2]);
}

using Call = void (*)(const u64*, u32);
static const std::map<std::string, Call> KERNELS = {
#include "kernels.inc"
};

static void launch() {
    std::string name(take<u32>(), ' ');
    read_all(name.data(), name.size());
    const u32 grid = take<u32>(), threads = take<u32>(), shared = take<u32>();
    u64 arguments[4];
    for (u64& argument : arguments) argument = take<u64>();
    const u32 last = take<u32>();
    const Call kernel = KERNELS.at(name);
    shim::launch(grid, threads, shared, [&] { kernel(arguments, last); });
    const u8 done = 1;
    answer(&done, 1);
}

int main() {
    std::map<u64, u64> lens;
    for (;;) {
        const u8 command = take<u8>();
        if (command == 'L') {
            launch();
            continue;
        }
        const u64 address = command == 'A' ? 0 : take<u64>(), len = command == 'F' ? 0 : take<u64>();
        if (command == 'A') {
            // Aligned as a device's allocator does; the end is where it was asked for.
            void* memory = nullptr;
            if (posix_memalign(&memory, 256, len + (len == 0)) != 0) return 1;
            memset(memory, 0xa5, len);
            const u64 at = reinterpret_cast<u64>(memory);
            lens[at] = len;
            answer(&at, sizeof(at));
        } else if (command == 'F') {
            ASAN_UNPOISON_MEMORY_REGION(reinterpret_cast<void*>(address), lens.at(address));
            lens.erase(address);
            free(reinterpret_cast<void*>(address));
        } else if (command == 'W') {
            read_all(reinterpret_cast<void*>(address), len);
        } else if (command == 'R') {
            answer(reinterpret_cast<void*>(address), len);
        } else if (command == 'P') {
            ASAN_POISON_MEMORY_REGION(reinterpret_cast<void*>(address), len);
        } else {
            return 1;
        }
    }
}
