"""A folder of open weights in diffusers' layout, tiny and random, for tests of what is done with it."""

import pytest
import torch

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")


def randomised(module, seed):
    """Weights far enough from their initial ones that every part of the network shows in the output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                spread = 0.5 if "scale_shift" in name else 1.2 / parameter[0].numel() ** 0.5
                parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["a", "cat", "&", "dog", "run", "on", "the", "beach", ".", "blurry", "A"]
    vocabulary = {"<pad>": 0, "</s>": 1, "<unk>": 2} | {word: 3 + k for k, word in enumerate(words)}
    tokens = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokens.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokens, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def wan_autoencoder(kind):
    residual = {"is_residual": True, "patch_size": 2, "in_channels": 12, "out_channels": 12, "scale_factor_spatial": 16}
    channels = 6 if kind == "5b" else 4
    mean = torch.linspace(-0.5, 0.5, channels).tolist()
    return diffusers.AutoencoderKLWan(
        base_dim=8,
        z_dim=channels,
        dim_mult=[1, 2, 2, 2],
        num_res_blocks=1,
        latents_mean=mean,
        latents_std=[1 + abs(value) for value in mean],
        **(residual if kind == "5b" else {}),
    )


def write_pipeline(folder, kind):
    """Kinds: 2.1, 5b (a timestep a token, autoencoder 16 x 16), a14b (two experts), i2v (the same for pictures)."""
    torch.manual_seed(0)
    vae = randomised(wan_autoencoder(kind), 1)
    text = transformers.UMT5EncoderModel(
        transformers.UMT5Config(
            vocab_size=16, d_model=24, d_kv=8, d_ff=32, num_layers=2, num_heads=3, feed_forward_proj="gated-gelu"
        )
    )

    def network(seed):
        sizes = {"num_attention_heads": 2, "attention_head_dim": 24, "text_dim": 24, "freq_dim": 32, "ffn_dim": 64}
        channels = vae.config.z_dim
        read = 2 * channels + 4 if kind == "i2v" else channels  # a channel for each of four frames, and their latents
        return randomised(
            diffusers.WanTransformer3DModel(num_layers=2, in_channels=read, out_channels=channels, **sizes), seed
        )

    boundary = {"a14b": 0.875, "i2v": 0.9}.get(kind)
    more = {} if boundary is None else {"transformer_2": network(3), "boundary_ratio": boundary}
    if kind == "i2v":
        more |= {"image_encoder": None, "image_processor": None}
    pipeline = (diffusers.WanImageToVideoPipeline if kind == "i2v" else diffusers.WanPipeline)(
        tokenizer=tokenizer(),
        text_encoder=randomised(text, 4),
        vae=vae,
        scheduler=diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        transformer=network(2),
        expand_timesteps=kind == "5b",
        **more,
    )
    pipeline.save_pretrained(folder)
    return folder


def watched(pipeline, monkeypatch):
    """What each window of a pipeline is told, as it is made: (frames, conditioning, seed)."""
    told, make = [], pipeline.engine.sample

    def sample(request, *, conditioning_fn=None, **more):
        def noted(condition):
            condition = conditioning_fn(condition) if conditioning_fn is not None else condition
            told.append((request.num_frames, condition, request.seed))
            return condition

        return make(request, conditioning_fn=noted, **more)

    monkeypatch.setattr(pipeline.engine, "sample", sample)
    return told
