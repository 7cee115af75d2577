"""Metrics: PSNR and SSIM, kernel distance, prompt following, seams, drift and cost of long videos."""
