// A libnvidia-ml.so.1 of our own, for tests on machines without an NVIDIA GPU: the functions that the agent asks for, with
// NVML's signatures (its API reference) and answers that a script gives. The script is the file that FAKE_NVML names, else
// `script` beside the library; it is read again whenever it has changed. Its lines:
//
//   gpus N                        how many GPUs there are; 1 when left out
//   set NAME GPU VALUE            a value of a GPU, under the names that `value` is called with below
//   field ID GPU VALUE            a value of nvmlDeviceGetFieldValues; without a line it is not supported
//   mig GPU INSTANCES             MIG is on, with so many GPU instances of one compute instance each
//   process GPU INSTANCE PID MIB SM   a compute process; INSTANCE -1 is the whole GPU
//   xid NUMBER GPU CODE           an XID error; numbers count up, each is told once in the process' life
//   fail FUNCTION CODE GPU        the function answers with that error; GPU -1 is any, FUNCTION * is every one
//   hang FUNCTION GPU             the function does not return while this line stands
//   session N                     sessions that were opened under another N have lost their driver: handles are void
//
// Lines that mean nothing to it are ignored.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, TIMEOUT = 10, LOST = 15 };
enum { GPUS = 16, INSTANCES = 7, LINES = 512, WHOLE = -1 };

typedef struct { int gpu, instance; } Device;
typedef struct { char word[16], name[64]; long long a, b, c, d, e; } Line;

static Device devices[GPUS], instances[GPUS][INSTANCES];
static Line lines[LINES];
static int line_count, opened, opened_session, registered[GPUS];
static long long told_xid;
static struct timespec read_at;
static off_t read_size;
static atomic_long calls;

long fake_nvml_calls(void) { return calls; }  // how many calls there were, for tests that count them

static const char *script_path(void) {
    static char path[4096];
    const char *named = getenv("FAKE_NVML");
    if (named) return named;
    Dl_info self;
    if (!dladdr((void *)script_path, &self)) return "";
    snprintf(path, sizeof path, "%.*s/script", (int)(strrchr(self.dli_fname, '/') - self.dli_fname), self.dli_fname);
    return path;
}

static void read_script(void) {
    struct stat now;
    const char *path = script_path();
    if (stat(path, &now)) { line_count = 0; read_size = -1; return; }
    if (now.st_size == read_size && !memcmp(&now.st_mtim, &read_at, sizeof read_at)) return;
    FILE *file = fopen(path, "r");
    if (!file) return;
    char text[256];
    for (line_count = 0; line_count < LINES && fgets(text, sizeof text, file);) {
        Line line = {0};
        char *rest = text;
        int used = 0;
        if (sscanf(rest, "%15s%n", line.word, &used) != 1) continue;
        rest += used;
        if ((!strcmp(line.word, "set") || !strcmp(line.word, "fail") || !strcmp(line.word, "hang")) &&
            sscanf(rest, "%63s%n", line.name, &used) == 1) rest += used;
        sscanf(rest, "%lld %lld %lld %lld %lld", &line.a, &line.b, &line.c, &line.d, &line.e);
        lines[line_count++] = line;
    }
    fclose(file);
    read_size = now.st_size;
    read_at = now.st_mtim;
}

static long long one(const char *word, long long otherwise) {
    for (int i = 0; i < line_count; i++)
        if (!strcmp(lines[i].word, word)) return lines[i].a;
    return otherwise;
}

static long long value(const char *name, const Device *device, long long otherwise) {
    for (int i = 0; i < line_count; i++)
        if (!strcmp(lines[i].word, "set") && !strcmp(lines[i].name, name) && lines[i].a == device->gpu) return lines[i].b;
    return otherwise;
}

static int instances_of(int gpu) {
    for (int i = 0; i < line_count; i++)
        if (!strcmp(lines[i].word, "mig") && lines[i].a == gpu) return (int)lines[i].b;
    return 0;
}

// The line about a function, of a word that names one: `gpu` is the GPU asked for.
static const Line *about(const char *word, const char *function, int gpu) {
    for (int i = 0; i < line_count; i++) {
        long long only = strcmp(word, "fail") ? lines[i].a : lines[i].b;
        if (!strcmp(lines[i].word, word) && (!strcmp(lines[i].name, "*") || !strcmp(lines[i].name, function)) &&
            (only == WHOLE || only == gpu))
            return &lines[i];
    }
    return NULL;
}

// What stands in the way of an answer: a hang that is over, an error of the script, a session that is void.
static int before(const char *function, int gpu) {
    calls++;
    read_script();
    while (about("hang", function, gpu)) { usleep(5000); read_script(); }
    const Line *failing = about("fail", function, gpu);
    if (failing) return (int)failing->a;
    if (!strcmp(function, "nvmlInitWithFlags")) return OK;
    if (!opened) return UNINITIALIZED;
    return gpu != WHOLE && opened_session != one("session", 0) ? LOST : OK;
}

#define ASK(gpu) do { int refused = before(__func__, gpu); if (refused) return refused; } while (0)
#define OF(device) ASK((device)->gpu)

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    ASK(WHOLE);
    opened = 1;
    opened_session = (int)one("session", 0);
    memset(registered, 0, sizeof registered);
    for (int gpu = 0; gpu < GPUS; gpu++) {
        devices[gpu] = (Device){gpu, WHOLE};
        for (int i = 0; i < INSTANCES; i++) instances[gpu][i] = (Device){gpu, i};
    }
    return OK;
}
int nvmlShutdown(void) { ASK(WHOLE); opened = 0; return OK; }
const char *nvmlErrorString(int code) { (void)code; return "an error of the script"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { ASK(WHOLE); snprintf(text, size, "580.0.%lld", one("session", 0)); return OK; }
int nvmlSystemGetNVMLVersion(char *text, unsigned size) { ASK(WHOLE); snprintf(text, size, "13.580.0"); return OK; }
int nvmlDeviceGetCount_v2(unsigned *count) { ASK(WHOLE); *count = (unsigned)one("gpus", 1); return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
    ASK((int)index);
    if (index >= one("gpus", 1)) return INVALID;
    *device = &devices[index];
    return OK;
}
int nvmlDeviceGetUUID(Device *device, char *text, unsigned size) {
    OF(device);
    if (device->instance == WHOLE) snprintf(text, size, "GPU-00000000-0000-0000-0000-%012d", device->gpu);
    else snprintf(text, size, "MIG-00000000-0000-0000-%04d-%012d", device->gpu, device->instance);
    return OK;
}
int nvmlDeviceGetName(Device *device, char *text, unsigned size) {
    OF(device);
    snprintf(text, size, device->instance == WHOLE ? "NVIDIA Fake 80GB" : "NVIDIA Fake 80GB MIG 1g.10gb");
    return OK;
}
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } Pci;
int nvmlDeviceGetPciInfo_v3(Device *device, Pci *pci) {
    OF(device);
    memset(pci, 0, sizeof *pci);
    snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%02X:00.0", device->gpu + 1);
    return OK;
}
int nvmlDeviceGetMinorNumber(Device *device, unsigned *minor) { OF(device); *minor = (unsigned)device->gpu; return OK; }
int nvmlDeviceGetMigMode(Device *device, unsigned *now, unsigned *pending) {
    OF(device);
    *now = *pending = instances_of(device->gpu) > 0;
    return OK;
}
int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned *count) { OF(device); *count = INSTANCES; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned index, Device **found) {
    OF(device);
    if ((int)index >= instances_of(device->gpu)) return NOT_FOUND;
    *found = &instances[device->gpu][index];
    return OK;
}
// NVIDIA's GPU instances are not numbered from 0 up.
int nvmlDeviceGetGpuInstanceId(Device *device, unsigned *id) { OF(device); *id = (unsigned)device->instance + 7; return OK; }

typedef struct { unsigned gpu, memory; } Utilization;
int nvmlDeviceGetUtilizationRates(Device *device, Utilization *rates) {
    OF(device);
    if (instances_of(device->gpu)) return NOT_SUPPORTED;
    *rates = (Utilization){(unsigned)value("util", device, 50), (unsigned)value("memutil", device, 30)};
    return OK;
}
int nvmlDeviceGetEncoderUtilization(Device *device, unsigned *rate, unsigned *period) { OF(device); *rate = (unsigned)value("enc", device, 0); *period = 0; return OK; }
int nvmlDeviceGetDecoderUtilization(Device *device, unsigned *rate, unsigned *period) { OF(device); *rate = (unsigned)value("dec", device, 0); *period = 0; return OK; }
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory;
int nvmlDeviceGetMemoryInfo_v2(Device *device, Memory *memory) {
    OF(device);
    long long parts = device->instance == WHOLE ? 1 : 8, total = value("total", device, 81920) / parts;
    long long reserved = value("reserved", device, 512) / parts, used = value("used", device, 1024) / parts;
    memory->total = (unsigned long long)total << 20;
    memory->reserved = (unsigned long long)reserved << 20;
    memory->used = (unsigned long long)used << 20;
    memory->free = (unsigned long long)(total - reserved - used) << 20;
    return OK;
}
int nvmlDeviceGetPowerUsage(Device *device, unsigned *power) { OF(device); *power = (unsigned)value("power", device, 250500); return OK; }
int nvmlDeviceGetEnforcedPowerLimit(Device *device, unsigned *power) { OF(device); *power = (unsigned)value("limit", device, 700000); return OK; }
int nvmlDeviceGetClockInfo(Device *device, int clock, unsigned *rate) { OF(device); *rate = (unsigned)value(clock == 1 ? "smclock" : "memclock", device, clock == 1 ? 1980 : 2619); return OK; }
int nvmlDeviceGetTemperature(Device *device, int sensor, unsigned *degrees) { OF(device); (void)sensor; *degrees = (unsigned)value("temp", device, 41); return OK; }
int nvmlDeviceGetCurrentClocksEventReasons(Device *device, unsigned long long *mask) { OF(device); *mask = (unsigned long long)value("reasons", device, 0); return OK; }

typedef struct { unsigned id, scope; long long time, latency; unsigned type; int result; union { double d; unsigned u; unsigned long long ull; } value; } Field;
int nvmlDeviceGetFieldValues(Device *device, int count, Field *fields) {
    OF(device);
    for (int f = 0; f < count; f++) {
        fields[f].result = NOT_SUPPORTED;
        for (int i = 0; i < line_count; i++)
            if (!strcmp(lines[i].word, "field") && lines[i].a == fields[f].id && lines[i].b == device->gpu) {
                fields[f].type = 3;  // NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
                fields[f].value.ull = (unsigned long long)lines[i].c;
                fields[f].result = OK;
            }
    }
    return OK;
}

// GPM: which parts of a GPU work. `set gpm GPU 1` says that it is supported, `set gpmID GPU VALUE` what a metric is.
typedef struct { const Device *device; int instance; long number; } Taken;
typedef struct { unsigned version, supported; } Support;
typedef struct { unsigned id; int result; double value; const char *names[3]; } GpmMetric;
typedef struct { unsigned version, count; Taken *earlier, *later; GpmMetric metrics[]; } GpmRequest;
static atomic_long samples_out;
long fake_nvml_samples(void) { return samples_out; }  // how many samples are allocated now
int nvmlGpmQueryDeviceSupport(Device *device, Support *support) { OF(device); support->supported = value("gpm", device, 0) > 0; return OK; }
int nvmlGpmSampleAlloc(Taken **sample) { ASK(WHOLE); *sample = calloc(1, sizeof **sample); samples_out++; return OK; }
int nvmlGpmSampleFree(Taken *sample) { ASK(WHOLE); free(sample); samples_out--; return OK; }
int nvmlGpmSampleGet(Device *device, Taken *sample) {
    OF(device);
    if (instances_of(device->gpu)) return NOT_SUPPORTED;
    *sample = (Taken){device, WHOLE, calls};
    return OK;
}
int nvmlGpmMigSampleGet(Device *device, unsigned instance, Taken *sample) {
    OF(device);
    *sample = (Taken){device, (int)instance, calls};
    return OK;
}
int nvmlGpmMetricsGet(GpmRequest *request) {
    ASK(WHOLE);
    const Taken *earlier = request->earlier, *later = request->later;
    if (request->version != 1 || earlier->device != later->device || earlier->instance != later->instance || earlier->number >= later->number)
        return INVALID;
    for (unsigned i = 0; i < request->count; i++) {
        char name[16];
        snprintf(name, sizeof name, "gpm%u", request->metrics[i].id);
        long long found = value(name, later->device, -1);
        request->metrics[i].result = found < 0 ? NOT_SUPPORTED : OK;
        request->metrics[i].value = (double)found;
    }
    return OK;
}

static int processes_of(const Device *device, const Line **found) {
    int count = 0;
    for (int i = 0; i < line_count; i++)
        if (!strcmp(lines[i].word, "process") && lines[i].a == device->gpu && lines[i].b == device->instance) {
            if (found) found[count] = &lines[i];
            count++;
        }
    return count;
}
typedef struct { unsigned pid; unsigned long long memory; unsigned gi, ci; } Process;
int nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned *count, Process *processes) {
    OF(device);
    const Line *found[LINES];
    unsigned running = (unsigned)processes_of(device, found), room = *count;
    *count = running;
    if (running > room) return TOO_SMALL;
    for (unsigned i = 0; i < running; i++)
        processes[i] = (Process){(unsigned)found[i]->c, (unsigned long long)found[i]->d << 20, 0xFFFFFFFF, 0xFFFFFFFF};
    return OK;
}
typedef struct { unsigned pid; unsigned long long time; unsigned sm, memory, enc, dec; } Sample;
// Two samples of each process since any time: its SM value, and twice of it.
int nvmlDeviceGetProcessUtilization(Device *device, Sample *samples, unsigned *count, unsigned long long since) {
    OF(device);
    if (instances_of(device->gpu)) return NOT_SUPPORTED;
    const Line *found[LINES];
    unsigned running = (unsigned)processes_of(device, found), room = *count, filled = 0;
    for (unsigned i = 0; i < running; i++) filled += 2 * (found[i]->e > 0);
    if (!filled) return NOT_FOUND;
    *count = filled;
    if (!samples || filled > room) return TOO_SMALL;
    for (unsigned i = 0, at = 0; i < running; i++)
        for (unsigned n = 1; found[i]->e > 0 && n <= 2; n++)
            samples[at++] = (Sample){(unsigned)found[i]->c, since + n, (unsigned)found[i]->e * n, 0, 0, 0};
    return OK;
}

typedef struct { Device *device; unsigned long long type, data; unsigned gi, ci; } Event;
int nvmlEventSetCreate(void **set) { ASK(WHOLE); *set = registered; return OK; }
int nvmlDeviceRegisterEvents(Device *device, unsigned long long types, void *set) { OF(device); (void)types; (void)set; registered[device->gpu] = 1; return OK; }
int nvmlEventSetWait_v2(void *set, Event *event, unsigned milliseconds) {
    ASK(WHOLE);
    (void)set; (void)milliseconds;
    for (int i = 0; i < line_count; i++)
        if (!strcmp(lines[i].word, "xid") && lines[i].a > told_xid) {
            told_xid = lines[i].a;
            if (!registered[lines[i].b]) continue;
            *event = (Event){&devices[lines[i].b], 8, (unsigned long long)lines[i].c, 0xFFFFFFFF, 0xFFFFFFFF};
            return OK;
        }
    return TIMEOUT;
}
