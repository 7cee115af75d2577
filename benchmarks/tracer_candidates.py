"""Which library should draw the miniature world? One small ray tracer, written five times.

Each candidate draws the same picture: a camera over a floor with twelve turned ellipsoids and boxes, nearest hit plus
one shadow ray per pixel, 128x128, single precision. It prints frames per CPU second and the ratio to the C
kernel compiled in the same run (gcc -O3 -march=native -ffast-math), which is the peer. Libraries that are not
installed are skipped, so `pip install numba taichi warp-lang` first; gcc is wanted for the peer only.

    OMP_NUM_THREADS=1 python benchmarks/tracer_candidates.py
"""

import ctypes
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SIZE, FRAMES = 128, 12
Draw = Callable[[np.ndarray], np.ndarray]  # primitives N x 16 -> picture H x W

C_SOURCE = r"""
#include <math.h>
static float hit(const float*P,int n,float ox,float oy,float oz,float dx,float dy,float dz,int*who){
  float best=1e9f;*who=-1;if(dz<0){float t=-oz/dz;if(t>1e-3f){best=t;*who=n;}}
  for(int i=0;i<n;i++){const float*p=P+16*i;float x=ox-p[1],y=oy-p[2],z=oz-p[3];
    float a0=(p[4]*x+p[7]*y+p[10]*z)/p[13],a1=(p[5]*x+p[8]*y+p[11]*z)/p[14],a2=(p[6]*x+p[9]*y+p[12]*z)/p[15];
    float b0=(p[4]*dx+p[7]*dy+p[10]*dz)/p[13],b1=(p[5]*dx+p[8]*dy+p[11]*dz)/p[14],b2=(p[6]*dx+p[9]*dy+p[12]*dz)/p[15];
    float t;if(p[0]<.5f){float A=b0*b0+b1*b1+b2*b2,B=a0*b0+a1*b1+a2*b2,C=a0*a0+a1*a1+a2*a2-1,h=B*B-A*C;if(h<0)continue;t=(-B-sqrtf(h))/A;}
    else{float k0=fabsf(1/b0),k1=fabsf(1/b1),k2=fabsf(1/b2),lo=fmaxf(fmaxf(-a0/b0-k0,-a1/b1-k1),-a2/b2-k2),hi=fminf(fminf(-a0/b0+k0,-a1/b1+k1),-a2/b2+k2);if(hi<lo)continue;t=lo;}
    if(t>1e-3f&&t<best){best=t;*who=i;}}
  return best;}
void draw(const float*P,int n,int s,float*out){for(int y=0;y<s;y++)for(int x=0;x<s;x++){
  float dx=((x+.5f)/s*2-1)*.5f,dz=(1-(y+.5f)/s*2)*.5f-.25f,dy=1,q=1/sqrtf(dx*dx+dy*dy+dz*dz);dx*=q;dy*=q;dz*=q;int w,u;
  float t=hit(P,n,0,-4,1.2f,dx,dy,dz,&w),c=.8f;if(w>=0){float px=t*dx,py=-4+t*dy,pz=1.2f+t*dz+2e-3f;
    hit(P,n,px,py,pz,.36f,-.48f,.8f,&u);c=(w==n?.5f:.2f+.04f*w)*(u>=0?.3f:1.f);}out[y*s+x]=c;}}
"""  # noqa: E501


def primitives(frame: int) -> np.ndarray:
    """Twelve turned ellipsoids and boxes: N x 16 floats (shape, position 3, rotation 9, size 3)."""
    rng = np.random.default_rng(frame)
    rows = []
    for i in range(12):
        q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        rows.append(np.r_[i % 2, rng.uniform((-1.5, -1, 0.2), (1.5, 2, 1.5)), q.ravel(), rng.uniform(0.1, 0.4, 3)])
    return np.array(rows, np.float32)


def with_c() -> Draw:
    folder = Path(tempfile.mkdtemp())
    (folder / "t.c").write_text(C_SOURCE)
    flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
    subprocess.check_call(["gcc", *flags, "-o", str(folder / "t.so"), str(folder / "t.c"), "-lm"])
    library = ctypes.CDLL(str(folder / "t.so"))

    def draw(p: np.ndarray) -> np.ndarray:
        out = np.zeros((SIZE, SIZE), np.float32)
        library.draw(p.ctypes.data_as(ctypes.c_void_p), len(p), SIZE, out.ctypes.data_as(ctypes.c_void_p))
        return out

    return draw


def with_numba() -> Draw:
    from math import sqrt

    import numba

    f4 = numba.float32

    @numba.njit(fastmath=True, inline="never")
    def hit(P, ox, oy, oz, dx, dy, dz):
        best, who = f4(1e9), -1
        if dz < 0:
            t = -oz / dz
            if t > f4(1e-3):
                best, who = t, len(P)
        for i in range(len(P)):
            p = P[i]
            x, y, z = ox - p[1], oy - p[2], oz - p[3]
            a0 = (p[4] * x + p[7] * y + p[10] * z) / p[13]
            a1 = (p[5] * x + p[8] * y + p[11] * z) / p[14]
            a2 = (p[6] * x + p[9] * y + p[12] * z) / p[15]
            b0 = (p[4] * dx + p[7] * dy + p[10] * dz) / p[13]
            b1 = (p[5] * dx + p[8] * dy + p[11] * dz) / p[14]
            b2 = (p[6] * dx + p[9] * dy + p[12] * dz) / p[15]
            if p[0] < f4(0.5):
                a, b = b0 * b0 + b1 * b1 + b2 * b2, a0 * b0 + a1 * b1 + a2 * b2
                h = b * b - a * (a0 * a0 + a1 * a1 + a2 * a2 - f4(1))
                if h < 0:
                    continue
                t = (-b - sqrt(h)) / a
            else:
                k0, k1, k2 = abs(f4(1) / b0), abs(f4(1) / b1), abs(f4(1) / b2)
                t = max(max(-a0 / b0 - k0, -a1 / b1 - k1), -a2 / b2 - k2)
                if min(min(-a0 / b0 + k0, -a1 / b1 + k1), -a2 / b2 + k2) < t:
                    continue
            if t > f4(1e-3) and t < best:
                best, who = t, i
        return best, who

    @numba.njit(fastmath=True)
    def picture(P, out):
        s = len(out)
        for y in range(s):
            for x in range(s):
                dx = (f4(x + f4(0.5)) / f4(s) * f4(2) - f4(1)) * f4(0.5)
                dz = (f4(1) - f4(y + f4(0.5)) / f4(s) * f4(2)) * f4(0.5) - f4(0.25)
                q = f4(1) / sqrt(dx * dx + f4(1) + dz * dz)
                t, w = hit(P, f4(0), f4(-4), f4(1.2), dx * q, q, dz * q)
                c = f4(0.8)
                if w >= 0:
                    px, py, pz = t * dx * q, f4(-4) + t * q, f4(1.2) + t * dz * q + f4(2e-3)
                    _, u = hit(P, px, py, pz, f4(0.36), f4(-0.48), f4(0.8))
                    c = (f4(0.5) if w == len(P) else f4(0.2) + f4(0.04) * f4(w)) * (f4(0.3) if u >= 0 else f4(1))
                out[y, x] = c

    def draw(p: np.ndarray) -> np.ndarray:
        out = np.zeros((SIZE, SIZE), np.float32)
        picture(p, out)
        return out

    return draw


def with_warp() -> Draw:
    import warp as wp

    wp.config.quiet = True
    wp.init()

    @wp.struct
    class Prim:
        shape: float
        pos: wp.vec3
        rot: wp.mat33
        size: wp.vec3

    @wp.func
    def hit(P: wp.array(dtype=Prim), o: wp.vec3, d: wp.vec3):
        best = 1.0e9
        who = -1
        n = P.shape[0]
        if d[2] < 0.0:
            t0 = -o[2] / d[2]
            if t0 > 1.0e-3:
                best = t0
                who = n
        for i in range(n):
            p = P[i]
            a = wp.cw_div(wp.transpose(p.rot) * (o - p.pos), p.size)
            b = wp.cw_div(wp.transpose(p.rot) * d, p.size)
            t = -1.0
            if p.shape < 0.5:
                aa = wp.dot(b, b)
                bb = wp.dot(a, b)
                h = bb * bb - aa * (wp.dot(a, a) - 1.0)
                if h >= 0.0:
                    t = (-bb - wp.sqrt(h)) / aa
            else:
                inv = wp.vec3(1.0 / b[0], 1.0 / b[1], 1.0 / b[2])
                mid = -wp.cw_mul(a, inv)
                k = wp.abs(inv)
                lo = wp.max(mid - k)
                if wp.min(mid + k) >= lo:
                    t = lo
            if t > 1.0e-3 and t < best:
                best = t
                who = i
        return best, who

    @wp.kernel(enable_backward=False)
    def picture(P: wp.array(dtype=Prim), s: int, out: wp.array2d(dtype=float)):
        y, x = wp.tid()
        dx = ((float(x) + 0.5) / float(s) * 2.0 - 1.0) * 0.5
        dz = (1.0 - (float(y) + 0.5) / float(s) * 2.0) * 0.5 - 0.25
        d = wp.normalize(wp.vec3(dx, 1.0, dz))
        o = wp.vec3(0.0, -4.0, 1.2)
        t, w = hit(P, o, d)
        c = 0.8
        if w >= 0:
            q = o + t * d + wp.vec3(0.0, 0.0, 2.0e-3)
            u_t, u = hit(P, q, wp.vec3(0.36, -0.48, 0.8))
            c = 0.2 + 0.04 * float(w)
            if w == P.shape[0]:
                c = 0.5
            if u >= 0:
                c = c * 0.3
        out[y, x] = c

    dtype = Prim.numpy_dtype()

    def draw(p: np.ndarray) -> np.ndarray:
        rows = np.zeros(len(p), dtype)
        rows["shape"], rows["pos"], rows["rot"], rows["size"] = (
            p[:, 0],
            p[:, 1:4],
            p[:, 4:13].reshape(-1, 3, 3),
            p[:, 13:],
        )
        out = wp.zeros((SIZE, SIZE), dtype=float, device="cpu")
        wp.launch(picture, dim=(SIZE, SIZE), inputs=[wp.array(rows, dtype=Prim, device="cpu"), SIZE, out], device="cpu")
        return out.numpy()

    return draw


def with_taichi() -> Draw:
    import taichi as ti
    import taichi.math as tm

    ti.init(arch=ti.cpu, cpu_max_num_threads=1, fast_math=True, log_level=ti.ERROR)
    P = ti.field(ti.f32, (12, 16))
    out = ti.field(ti.f32, (SIZE, SIZE))

    @ti.func
    def hit(o, d):
        best, who = 1e9, -1
        if d.z < 0:
            t0 = -o.z / d.z
            if t0 > 1e-3:
                best, who = t0, 12
        for i in range(12):
            R = tm.mat3([P[i, 4], P[i, 5], P[i, 6]], [P[i, 7], P[i, 8], P[i, 9]], [P[i, 10], P[i, 11], P[i, 12]])
            s = tm.vec3(P[i, 13], P[i, 14], P[i, 15])
            a = (R.transpose() @ (o - tm.vec3(P[i, 1], P[i, 2], P[i, 3]))) / s
            b = (R.transpose() @ d) / s
            t = -1.0
            if P[i, 0] < 0.5:
                aa, bb = b.dot(b), a.dot(b)
                h = bb * bb - aa * (a.dot(a) - 1)
                if h >= 0:
                    t = (-bb - ti.sqrt(h)) / aa
            else:
                k = ti.abs(1 / b)
                mid = -a / b
                lo = (mid - k).max()
                if (mid + k).min() >= lo:
                    t = lo
            if t > 1e-3 and t < best:
                best, who = t, i
        return best, who

    @ti.kernel
    def picture():
        for y, x in out:
            d = tm.normalize(tm.vec3(((x + 0.5) / SIZE * 2 - 1) * 0.5, 1.0, (1 - (y + 0.5) / SIZE * 2) * 0.5 - 0.25))
            o = tm.vec3(0.0, -4.0, 1.2)
            t, w = hit(o, d)
            c = 0.8
            if w >= 0:
                _, u = hit(o + t * d + tm.vec3(0, 0, 2e-3), tm.vec3(0.36, -0.48, 0.8))
                c = 0.5 if w == 12 else 0.2 + 0.04 * w
                if u >= 0:
                    c *= 0.3
            out[y, x] = c

    def draw(p: np.ndarray) -> np.ndarray:
        P.from_numpy(p)
        picture()
        return out.to_numpy()

    return draw


def with_torch() -> Draw:
    import torch

    torch.set_num_threads(1)

    def hit(p: torch.Tensor, o: torch.Tensor, d: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        R, s = p[:, 4:13].view(-1, 3, 3), p[:, 13:]
        a = torch.einsum("rnk,nkj->rnj", o[:, None] - p[:, 1:4], R) / s
        b = torch.einsum("rk,nkj->rnj", d, R) / s
        aa, bb = (b * b).sum(-1), (a * b).sum(-1)
        h = bb * bb - aa * ((a * a).sum(-1) - 1)
        ball = torch.where(h >= 0, (-bb - h.clamp(min=0).sqrt()) / aa, -1)
        k, mid = (1 / b).abs(), -a / b
        lo, hi = (mid - k).amax(-1), (mid + k).amin(-1)
        t = torch.where(p[:, 0] < 0.5, ball, torch.where(hi >= lo, lo, -1))
        floor = torch.where(d[:, 2:] < 0, -o[:, 2:] / d[:, 2:], -1)
        t = torch.cat([t, floor], 1)
        return torch.where(t > 1e-3, t, 1e9).min(1)

    def draw(p: np.ndarray) -> np.ndarray:
        q = torch.from_numpy(p)
        g = (torch.arange(SIZE) + 0.5) / SIZE * 2 - 1
        z, x = torch.meshgrid(-g * 0.5 - 0.25, g * 0.5, indexing="ij")
        d = torch.nn.functional.normalize(torch.stack([x, torch.ones_like(x), z], -1).view(-1, 3), dim=-1)
        o = torch.tensor([0.0, -4.0, 1.2]).expand_as(d)
        t, w = hit(q, o, d)
        there = o + t[:, None] * d + torch.tensor([0, 0, 2e-3])
        u, _ = hit(q, there, torch.tensor([0.36, -0.48, 0.8]).expand_as(d))
        c = torch.where(w == len(p), 0.5, 0.2 + 0.04 * w) * torch.where(u < 1e8, 0.3, 1.0)
        return torch.where(t < 1e8, c, 0.8).view(SIZE, SIZE).numpy()

    return draw


def main() -> None:
    scenes = [primitives(f) for f in range(FRAMES)]
    reference = speed = None
    for name, make in {
        "C (peer)": with_c, "Numba": with_numba, "Warp": with_warp, "Taichi": with_taichi, "PyTorch": with_torch
    }.items():  # fmt: skip
        try:
            start = time.perf_counter()
            draw = make()
            pictures = [draw(p) for p in scenes]
        except (ImportError, FileNotFoundError) as error:
            print(f"{name:10} skipped: {error}")
            continue
        compiled, rates = time.perf_counter() - start, []
        reference = reference if reference is not None else pictures
        same = np.mean([np.isclose(a, b, atol=1e-3).mean() for a, b in zip(pictures, reference, strict=True)])
        for _ in range(7):
            start = time.process_time()
            for p in scenes:
                draw(p)
            rates.append(FRAMES / (time.process_time() - start))
        rate = float(np.median(rates))
        speed = speed or rate
        figures = f"{rate:8.0f} frames/CPU s   {rate / speed:5.2f} x C"
        print(f"{name:10} {figures}   first run {compiled:5.1f} s   same pixels {same:.2%}")


if __name__ == "__main__":
    main()
