/* Loaded before the program: refuses memory from main on, once at the allocation whose number, from 1, is in
   FAILING_MALLOC_AT, or at it and at all after it where FAILING_MALLOC_EVER is set. At the end it says how many there were
   where FAILING_MALLOC_COUNT is set. It sees every library's allocations but those inside glibc itself. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static int (*program)(int, char **, char **);
static atomic_long count;
static atomic_int begun;
static long at;
static int for_ever;

static int refused(void)
{
    if (!atomic_load(&begun))
        return 0;
    long number = atomic_fetch_add(&count, 1) + 1;
    if (at == 0 || (for_ever ? number < at : number != at))
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size) { return refused() ? NULL : __libc_malloc(size); }

void *calloc(size_t n, size_t size) { return refused() ? NULL : __libc_calloc(n, size); }

void *realloc(void *old, size_t size) { return refused() ? NULL : __libc_realloc(old, size); }

void *memalign(size_t alignment, size_t size) { return refused() ? NULL : __libc_memalign(alignment, size); }

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **pointer, size_t alignment, size_t size)
{
    void *memory = memalign(alignment, size);
    if (memory == NULL)
        return ENOMEM;
    *pointer = memory;
    return 0;
}

static int begin(int argc, char **argv, char **environment)
{
    const char *said = getenv("FAILING_MALLOC_AT");
    at = said ? atol(said) : 0;
    for_ever = getenv("FAILING_MALLOC_EVER") != NULL;
    atomic_store(&begun, 1);
    return program(argc, argv, environment);
}

/* Constructors of libraries have run by now. */
int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*rtld_fini)(void), void *stack_end)
{
    __typeof__(&__libc_start_main) start = dlsym(RTLD_NEXT, "__libc_start_main");
    program = main;
    return start(begin, argc, argv, init, fini, rtld_fini, stack_end);
}

__attribute__((destructor)) static void tell(void)
{
    if (getenv("FAILING_MALLOC_COUNT"))
        dprintf(STDERR_FILENO, "allocations %ld\n", atomic_load(&count));
}
