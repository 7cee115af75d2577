"""What is Wan's: names, autoencoder, text encoder, LoRAs, experts, and how large weights are fetched and held."""
